import type { PgDatabase, PgQueryResultHKT } from "drizzle-orm/pg-core";
import type { Param, Tx } from "./database.ts";
import { toMidctlError } from "./failure.ts";
import { normalizeValue, requireParams } from "./values.ts";

/** A host's drizzle handle or transaction, over postgres.js or PGlite, whatever its schema. */
// biome-ignore lint/suspicious/noExplicitAny: a host's schema is none of our business, and TSchema is invariant
export type DrizzleHandle = PgDatabase<PgQueryResultHKT, any, any>;

/**
 * The waist over a host's own drizzle handle, so that our statements run inside the host's transaction. Rows are as from
 * our own connections, whatever parsers the host's driver has. The host keeps its session: its TimeZone is left alone
 * (`timestamptz` is given in UTC all the same).
 */
export function fromDrizzle(handle: DrizzleHandle): Tx {
  return {
    async query<Row extends object>(text: string, params: readonly Param[] = []): Promise<Row[]> {
      requireParams(params);
      try {
        return readRows<Row>(await handle.execute(new Statement(text, params) as never));
      } catch (error) {
        throw toMidctlError(error);
      }
    },
  };
}

/**
 * The one method by which drizzle turns SQL into text. Ours is text already, with `$1…` that may recur (drizzle's own
 * would number them anew); and no drizzle is imported, as the host's copy may be another than ours.
 */
class Statement {
  readonly #text: string;
  readonly #params: readonly Param[];

  constructor(text: string, params: readonly Param[]) {
    this.#text = text;
    this.#params = params;
  }

  getSQL(): this {
    return this;
  }

  toQuery(): { sql: string; params: Param[] } {
    return { sql: this.#text, params: [...this.#params] };
  }
}

/** postgres.js gives an array that knows its columns, PGlite an object with rows and fields. */
interface Answer {
  readonly columns?: readonly { readonly name: string; readonly type: number }[] | null;
  readonly fields?: readonly { readonly name: string; readonly dataTypeID: number }[];
  readonly rows?: readonly Record<string, unknown>[];
}

function readRows<Row extends object>(result: unknown): Row[] {
  const answer = result as Answer;
  const rows = answer.rows ?? (result as readonly Record<string, unknown>[]);
  const types = answer.columns
    ? answer.columns.map(({ name, type }) => [name, type] as const)
    : (answer.fields ?? []).map(({ name, dataTypeID }) => [name, dataTypeID] as const);
  return rows.map(
    (row) => Object.fromEntries(types.map(([name, type]) => [name, normalizeValue(row[name], type)])) as Row,
  );
}
