import type { Database } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import { parseVerifierName } from "../../domain/names.ts";
import { quote } from "../../domain/visible.ts";
import { followTrust, type TrustSource } from "../approval/trust-dir.ts";
import type { HeadStore } from "./head-file.ts";
import { DEFAULT_LEASE } from "./lease-keeper.ts";

export interface AuthenticatorOptions {
  /** A pool of its own, never a host's transaction: an activation must not be rolled back after the answer. */
  readonly db: Database;
  /**
   * Whether good answers are kept under a lease (SPEC §8), and how: `entries` at most (1 to 10 million, 10,000 unless
   * told, about 1 KB each), `leaseMs` from 100 to 60,000 (3,000 unless told): what a revocation
   * waits at most for a verifier that died.
   */
  readonly cache?: boolean | { readonly entries?: number; readonly leaseMs?: number };
  /** As the database shows this verifier; host and process unless told. */
  readonly name?: string;
  /**
   * How long the database may take over a decision, ms, before the answer is `unavailable`; 5,000 unless told, at most
   * an hour.
   */
  readonly patience?: number;
  /**
   * Told in words for an operator, once each: that nothing can be cached since nothing is heard; that the database is behind the
   * head that was kept, or that head's store does not work, and when that is over.
   */
  readonly warn?: (text: string) => void;
  /**
   * Whom to believe about approvals (SPEC §9): a trust directory, or what follows one. With it every token is refused,
   * `unapproved`, that no signed plan in force names; without, approvals are not looked at.
   */
  readonly trust?: string | TrustSource;
  /**
   * Where the highest head of the log that was seen is kept, such as `headFile(path)`: anywhere that is not restored together
   * with the database. With it every token is refused, `behind_checkpoint`, while the database does not go on from that head,
   * as after restoring a backup of before a revocation; and `unavailable` while the store does not work. `close()` it, for the
   * last second's head is written then.
   */
  readonly head?: HeadStore;
}

const DEFAULT_ENTRIES = 10_000;
const MAX_ENTRIES = 10_000_000;
const DEFAULT_PATIENCE = 5_000;
const MAX_PATIENCE = 3_600_000;

/** Options with nothing left out. */
interface Settings {
  readonly db: Database;
  readonly cache: boolean;
  readonly entries: number;
  readonly leaseMs: number;
  readonly name: string | null;
  readonly patience: number;
  readonly warn: (text: string) => void;
  readonly trust: TrustSource | null;
  readonly head: HeadStore | null;
}

/** @throws MidctlError `usage` that names the option, or what is wrong with the trust directory */
export function readOptions(options: AuthenticatorOptions): Settings {
  const given = requireFields("The options", options, [
    "db",
    "cache",
    "name",
    "patience",
    "warn",
    "trust",
    "head",
  ]);
  const { db, cache = true, name, patience = DEFAULT_PATIENCE, warn = () => undefined } = given;
  const room = typeof cache === "boolean" ? {} : requireFields<Room>("cache", cache, ["entries", "leaseMs"]);
  const { entries = DEFAULT_ENTRIES, leaseMs = DEFAULT_LEASE } = room;
  if (typeof warn !== "function") throw refuse("warn: a function is expected");
  return {
    cache: cache !== false,
    entries: requireWhole("cache.entries", entries, 1, MAX_ENTRIES),
    leaseMs: requireWhole("cache.leaseMs", leaseMs, 100, 60_000),
    name: name === undefined ? null : parseVerifierName(name),
    patience: requireWhole("patience", patience, 1, MAX_PATIENCE),
    warn,
    db: requirePool(db),
    // Left out is one thing, and undefined by a slip another: then nothing would be checked.
    trust: "trust" in given ? requireTrust(given.trust) : null,
    head: "head" in given ? requireStore(given.head) : null,
  };
}

function requireStore(given: AuthenticatorOptions["head"]): HeadStore {
  const methods = [given?.read, given?.write];
  if (given !== undefined && methods.every((method) => typeof method === "function")) return given;
  throw refuse(
    "head: a store of the log's head is expected",
    "headFile(path) makes one; leave it out where a restored backup is not to be noticed",
  );
}

function requireTrust(given: AuthenticatorOptions["trust"]): TrustSource {
  if (typeof given === "string") return followTrust(given);
  if (typeof given === "object" && given !== null && typeof given.current === "function") return given;
  throw refuse(
    "trust: a directory or a TrustSource is expected",
    "leave it out where approvals are not to be checked",
  );
}

type Room = Exclude<AuthenticatorOptions["cache"], boolean | undefined>;

/** An object without other fields: a misspelt one would quietly be a default. */
function requireFields<Fields extends object>(
  what: string,
  given: Fields,
  names: readonly (keyof Fields & string)[],
): Fields {
  const object: unknown = given;
  if (typeof object !== "object" || object === null || Array.isArray(object)) {
    throw refuse(`${what}: an object is expected`);
  }
  const unknown = Object.keys(object).find((key) => !names.some((name) => name === key));
  if (unknown !== undefined) throw refuse(`${what}: there is no option ${quote(unknown)}`, names.join(", "));
  return given;
}

function requirePool(db: Database): Database {
  const given: Partial<Database> | null | undefined = db;
  const methods = [given?.query, given?.transaction, given?.listen];
  if (methods.every((method) => typeof method === "function")) return db;
  throw refuse(
    "db: a pool of this library is expected, never a transaction",
    "openPostgres(…) or fromPglite(…) make one",
  );
}

function requireWhole(what: string, given: number, atLeast: number, atMost: number): number {
  if (Number.isInteger(given) && given >= atLeast && given <= atMost) return given;
  throw refuse(`${what} is out of bounds`, `it is a whole number from ${atLeast} to ${atMost}`);
}

function refuse(problem: string, hint?: string): MidctlError {
  return new MidctlError(
    "usage",
    `${problem}; there is no authenticator.`,
    hint === undefined ? {} : { hint },
  );
}
