import { randomBytes } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import {
  COPIED_TABLES,
  copyEverything,
  holdStill,
  readDigest,
  readForeignTables,
  takeMark,
} from "../db/copy.ts";
import type { Database, Tx } from "../db/database.ts";
import { CommitUnknown } from "../db/failure.ts";
import { migrate, planMigration, readSchemaState } from "../db/migrate.ts";
import { MidctlError } from "../domain/errors.ts";
import { checkDeferred, claimTransaction } from "../repository/claim.ts";
import { type Environment, readEnvironment } from "../repository/environment.ts";
import {
  type Holdings,
  isLogSound,
  markMoved,
  readAction,
  readHoldings,
  readLastId,
  tellEverybody,
} from "../repository/move.ts";
import { readGuards } from "../repository/overview.ts";
import { readVerifiers, type Verifier } from "../repository/verifier.ts";
import { change, commitKnowingly, type Request } from "./change.ts";
import { guardFindings } from "./doctor.ts";
import { requireEnvironment } from "./lookup.ts";
import { goThere } from "./moved.ts";
import { StandstillWatch } from "./verifier/standstill.ts";

/** A move: from where, to where, and how the place is written down, without user or password. */
export interface Move {
  readonly source: Database;
  readonly target: Database;
  readonly place: string;
}

export interface PushPreview {
  /**
   * `empty`: the target takes it all. `copied`: an earlier push got so far that only the source must be marked. `done`: the
   * source is marked, too.
   */
  readonly target: "empty" | "copied" | "done";
  readonly environment: Environment;
  readonly holdings: Holdings;
  /** Migrations that the target lacks. */
  readonly missing: readonly string[];
}

/**
 * What a push would find. Waits for the length of a lease where a verifier may be alive. Changes nothing.
 * @throws MidctlError `conflict` where the source cannot go or the target cannot take it, `schema_version` for a target
 *   whose schema is newer than this program's
 */
export async function previewPush(move: Move): Promise<PushPreview> {
  return (await examine(move)).preview;
}

async function examine({ source, target }: Move): Promise<{ preview: PushPreview; dead: Leases }> {
  const environment = await requireEnvironment(source);
  if (environment.protected) {
    throw new MidctlError("conflict", "A protected environment is not moved; nothing was changed.");
  }
  await refuseForeign(source, "source");
  await source.transaction(async (tx) => refuseItself(target, await mark(tx)));
  const standing = await inspectTarget(source, target, environment);
  if (standing !== "done" && environment.movedTo !== null) throw movedAlready(environment.movedTo);
  const dead = standing === "done" ? new Map() : await awaitStandstill(source);
  const [holdings, { applied }] = await Promise.all([readHoldings(source), planMigration(target)]);
  return { preview: { target: standing, environment, holdings, missing: applied }, dead };
}

/**
 * Moves a database: migrates the target, copies every row in one transaction of it, compares both sides, and closes the
 * source, which stands still meanwhile. A failure leaves both as they were, but for the target's empty schema; what is left half
 * done by one after the target's commit, the next push finishes.
 * @returns false where it had been moved already
 * @throws MidctlError as `previewPush`; `unavailable`, with `details` `{ target: "committed" }`, where the source could not be
 *   marked as moved
 */
export async function pushDatabase(move: Move, request: Request): Promise<boolean> {
  const { source, target } = move;
  const { preview, dead } = await examine(move);
  if (preview.target === "done") return false;
  await migrate(target);
  let whole = false;
  try {
    await change(source, request, async (tx) => {
      const own = await mark(tx);
      await holdStill(tx, [...COPIED_TABLES, "midctl_verifier"]);
      const environment = await requireEnvironment(tx);
      if (environment.movedTo !== null) throw movedAlready(environment.movedTo);
      for (const each of await readVerifiers(tx))
        if (dead.get(each.id) !== each.renewals) throw stillVerified(each);
      whole = (await inspectTarget(tx, target, environment)) === "copied";
      // Before it is copied, so that both logs say the same: the move is what the target's log goes on from.
      await markMoved(tx, move.place);
      if (whole) return;
      await checkDeferred(tx);
      await fill(tx, target, request, own);
      whole = true;
    });
  } catch (error) {
    throw whole ? halfMoved(move.place, error) : error;
  }
  return true;
}

/** All in one transaction of the target. */
async function fill(from: Tx, target: Database, request: Request, own: string): Promise<void> {
  try {
    await commitKnowingly(target, async (to) => {
      const transaction = await claimTransaction(to, request);
      await refuseItself(to, own);
      await holdStill(to);
      await refuseHoldings(to);
      await copyEverything(from, to);
      const faults = guardFindings(await readGuards(to));
      if (faults.length > 0 || !(await isLogSound(to))) {
        throw new MidctlError(
          "internal",
          `The copy is not sound: ${faults[0]?.message ?? "its log has gaps or another length."} Nothing was changed.`,
          { hint: "midctl doctor, on both sides" },
        );
      }
      await tellEverybody(to);
      return { transaction, result: undefined };
    });
  } catch (error) {
    if (!(error instanceof CommitUnknown)) throw error;
    throw new MidctlError(
      "unavailable",
      "The connection to the target was lost while it was taking over: it is unknown whether it holds the data. The source is as it was.",
      { hint: "Run midctl db push again: it finishes or begins anew.", details: { target: "unknown" } },
    );
  }
}

/**
 * Whether the target can take it all, or holds it already.
 * @throws MidctlError `conflict`
 */
async function inspectTarget(
  source: Tx,
  target: Database,
  environment: Environment,
): Promise<PushPreview["target"]> {
  const { state } = await readSchemaState(target);
  if (state === "newer") {
    throw new MidctlError(
      "schema_version",
      "The target's schema is newer than this midctl; nothing was changed.",
      {
        hint: "Upgrade midctl.",
      },
    );
  }
  await refuseForeign(target, "target");
  if (state === "absent") return "empty";
  const found = await readEnvironment(target);
  if (found?.databaseId !== environment.databaseId) {
    await refuseHoldings(target);
    return "empty";
  }
  if (environment.movedTo !== null) return "done";
  if (await holdsTheSame(source, target)) return "copied";
  throw new MidctlError(
    "conflict",
    "The target holds this database already, and the two have gone different ways since; nothing was changed.",
    {
      hint: "Decide which of them lives on, and take the other out of service: a revocation in one does not reach the other.",
    },
  );
}

/** Whether nothing happened in the source since it was copied, whatever went on in the target. */
async function holdsTheSame(source: Tx, target: Tx): Promise<boolean> {
  const { entries } = await readHoldings(source);
  if ((await readAction(target, entries)) !== "environment.move") return false;
  const [token, event] = await Promise.all([
    readLastId(source, "agent_token"),
    readLastId(source, "agent_audit_event"),
  ]);
  const birth = ["id", "publicId"];
  // Tokens of an application and what agents did have no entry; a later row of the target has a later id.
  const parts = [
    ["midctl_log", { where: `"index" < ${entries}` }],
    ["agent_token", { where: `id <= ${token}`, columns: birth }],
    ["agent_audit_event", { where: `id <= ${event}`, columns: birth }],
  ] as const;
  for (const [table, some] of parts) {
    const [here, there] = await Promise.all([
      readDigest(source, table, some),
      readDigest(target, table, some),
    ]);
    if (here.rows !== there.rows || here.sum !== there.sum) return false;
  }
  return true;
}

/** @throws MidctlError `conflict` that counts what the target holds */
async function refuseHoldings(target: Tx): Promise<void> {
  const [environment, held] = await Promise.all([readEnvironment(target), readHoldings(target)]);
  const { identities, credentials, tokens, events, entries } = held;
  const named = environment?.named === true;
  if (!named && identities + credentials + tokens + events === 0 && entries <= 1) return;
  const what = named ? `it is the environment ${environment.name}, with ` : "it holds ";
  throw new MidctlError(
    "conflict",
    `The target is not empty: ${what}${identities} machine identities, ${credentials} credentials, ${tokens} agent tokens, ${events} agent events and ${entries} log entries. Nothing was changed.`,
    { hint: "Push into a new database: createdb NAME.", details: { named, ...held } },
  );
}

async function refuseForeign(db: Tx, side: "source" | "target"): Promise<void> {
  const foreign = await readForeignTables(db);
  if (foreign.length === 0) return;
  throw new MidctlError(
    "conflict",
    `The ${side} is an application's database, whose own ${foreign.join(" and ")} ${foreign.length === 1 ? "is" : "are"} of its workspaces; nothing was changed.`,
    {
      hint:
        side === "source"
          ? "It moves with the application, by the application's own backup."
          : "Push into a database of midctl's own: createdb NAME.",
      details: { foreign },
    },
  );
}

/** Marks the transaction, so that whoever meets it elsewhere knows that it is this database. */
async function mark(tx: Tx): Promise<string> {
  const own = randomBytes(8).readBigInt64BE().toString();
  await takeMark(tx, own);
  return own;
}

async function refuseItself(target: Tx, own: string): Promise<void> {
  if (await takeMark(target, own)) return;
  throw new MidctlError(
    "conflict",
    "The target is the very database that is to be moved; nothing was changed.",
    {
      hint: "midctl db status shows where the data are.",
    },
  );
}

const LOOK = 50;

/** Ids of verifiers, with the renewals at which each stood still. */
type Leases = ReadonlyMap<string, string>;

/**
 * Waits until every lease has run out.
 * @throws MidctlError `conflict` that names a verifier which renews its own
 */
async function awaitStandstill(source: Tx): Promise<Leases> {
  const watch = new StandstillWatch();
  let first: Leases | null = null;
  for (;;) {
    const present = await readVerifiers(source);
    const seen = new Map(present.map(({ id, renewals }) => [id, renewals]));
    first ??= seen;
    const alive = present.find(({ id, renewals }) => first?.get(id) !== renewals);
    if (alive !== undefined) throw stillVerified(alive);
    if (watch.observe(present, performance.now()).length === present.length) return seen;
    await wait(LOOK);
  }
}

function stillVerified({ name }: Verifier): MidctlError {
  return new MidctlError(
    "conflict",
    `The verifier ${name} decides by this database, and would not hear of what is revoked elsewhere; nothing was changed.`,
    {
      hint: "Stop it (midctl serve, or the application), push, and start it on the new database.",
      details: { verifier: name },
    },
  );
}

function movedAlready(place: string): MidctlError {
  return new MidctlError("conflict", `This database has moved to ${place}; nothing was changed.`, {
    hint: goThere(place),
    details: { movedTo: place },
  });
}

function halfMoved(place: string, cause: unknown): MidctlError {
  return new MidctlError(
    "unavailable",
    `${place} holds everything now, and marking this database as moved failed: both may take changes, and a revocation in one does not reach the other.`,
    {
      hint: "Run midctl db push again at once: it marks this one, and copies nothing.",
      details: { target: "committed" },
      cause,
    },
  );
}
