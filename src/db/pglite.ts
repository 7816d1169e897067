import type { PGlite, Transaction } from "@electric-sql/pglite";
import type { Database, Ears, Listener, OwnTx, Param } from "./database.ts";
import { toMidctlError } from "./failure.ts";
import { swallowedFailure, transactionOver } from "./outcome.ts";
import { retryConflicts } from "./retry.ts";
import { PARSERS, requireParams } from "./values.ts";

/** The waist over a PGlite (PostgreSQL in this process). It is one session: transactions take turns. */
export function fromPglite(pglite: PGlite): Database {
  return {
    concurrent: false,
    query: (text, params = []) => run(pglite, text, params),
    transaction: (work) => retryConflicts(() => attempt(pglite, work)),
    listen: (channels, ears) => listen(pglite, channels, ears),
    close: () => pglite.close(),
  };
}

/** It is one session, which is never lost while the process lives. */
async function listen(pglite: PGlite, channels: readonly string[], ears: Ears): Promise<Listener> {
  let wanted = true;
  const stops = await Promise.all(
    channels.map((channel) =>
      pglite.listen(channel, (payload) => {
        if (wanted) ears.heard(channel, payload);
      }),
    ),
  );
  return {
    query: (text, params = []) => run(pglite, text, params),
    close() {
      wanted = false;
      for (const stop of stops) void stop().catch(() => undefined);
    },
  };
}

async function attempt<T>(pglite: PGlite, work: (tx: OwnTx) => Promise<T>): Promise<T> {
  let over = false;
  let failed: unknown = null;
  const refuse = () => Promise.reject(transactionOver());
  try {
    return await pglite.transaction(async (transaction) => {
      const tx: OwnTx = {
        query: (text, params = []) => (over ? refuse() : run(transaction, text, params)),
        script: (text) => (over ? refuse() : transaction.exec(text).then(() => undefined, rethrow)),
      };
      const result = await work(tx).catch((error: unknown) => {
        failed = error;
        throw error;
      });
      over = true;
      // PGlite takes the ROLLBACK that answers the COMMIT of a failed transaction for success.
      await transaction.query("SELECT 1").catch(() => {
        throw swallowedFailure();
      });
      return result;
    });
  } catch (error) {
    // What `work` itself threw is nobody's to translate; what BEGIN or COMMIT threw is ours.
    throw failed === error ? error : toMidctlError(error);
  } finally {
    over = true;
  }
}

function rethrow(error: unknown): never {
  throw toMidctlError(error);
}

async function run<Row extends object>(
  on: PGlite | Transaction,
  text: string,
  params: readonly Param[],
): Promise<Row[]> {
  requireParams(params);
  try {
    return (await on.query<Row>(text, [...params], { parsers: PARSERS, serializers: SERIALIZERS })).rows;
  } catch (error) {
    return rethrow(error);
  }
}

/** Every parameter as text: the server decides on its type. */
const SERIALIZERS = Object.fromEntries(
  Object.keys(PARSERS).map((type) => [type, (value: unknown) => String(value)]),
);
