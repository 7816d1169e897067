import type { Database, Tx } from "../db/database.ts";
import { originOf } from "../domain/checkpoint.ts";
import { MidctlError } from "../domain/errors.ts";
import { Forgotten, type ForgottenStep } from "../domain/forgotten.ts";
import type { ExportedLeaves } from "../domain/log-export.ts";
import { formatCredential, formatToken } from "../domain/reference.ts";
import { readNodesOf } from "../domain/tile.ts";
import { readSlugs } from "../repository/standing.ts";
import { readTree } from "../repository/tree.ts";
import type { ExportedLog } from "./audit-verify.ts";
import type { Request } from "./change.ts";
import { readTarget } from "./control.ts";
import { updateIdentity } from "./identity-update.ts";
import { requireEnvironment } from "./lookup.ts";
import { pauseTarget } from "./pause.ts";
import { revokeTarget } from "./revoke.ts";

export interface Reconciliation {
  readonly origin: string;
  /** Entries that database and export have in common. */
  readonly common: number;
  /** Entries that the export has and the database lost. */
  readonly lost: number;
  readonly steps: readonly ReconcileStep[];
  /** How many lost entries there are of each action that is not brought back. */
  readonly others: Readonly<Record<string, number>>;
}

export interface ReconcileStep extends ForgottenStep {
  /** A slug, mc_… or at_…; null for an identity that the database does not know. */
  readonly ref: string | null;
  /** `unknown`: the database has no such thing, so nobody gets in by it. */
  readonly state: "needed" | "done" | "unknown";
}

/** Leaves compared at once. */
const PAGE = 4_096;

/**
 * What an export knows and the database forgot. Changes nothing.
 * @param exported leaves and head of the export
 * @param entries of the export from an index on, in their order
 * @throws MidctlError `conflict` for an export of another log, and for one that begins behind where the two differ
 */
export async function planReconciliation(
  db: Tx,
  { leaves, head }: ExportedLog,
  entries: (from: number) => Iterable<string>,
): Promise<Reconciliation> {
  const tree = await readTree(db);
  const origin = originOf(tree.databaseId);
  if (head.origin !== origin) {
    throw new MidctlError(
      "conflict",
      `The export is of another log (${head.origin}, and this is ${origin}); nothing was compared.`,
      { hint: "Give the export of this database." },
    );
  }
  const common = await countCommon(readNodesOf(tree), Math.min(tree.size, leaves.end), leaves);
  if (tree.size < leaves.begin || (common === leaves.begin && common > 0 && common < leaves.end)) {
    throw new MidctlError(
      "conflict",
      `The export begins with entry ${leaves.begin}, and log and export differ before that; nothing was compared.`,
      { hint: "Give an export that begins earlier." },
    );
  }
  const forgotten = new Forgotten();
  if (common < leaves.end) for (const entry of entries(common)) forgotten.take(entry);
  const steps = forgotten.steps();
  return {
    origin,
    common,
    lost: forgotten.count,
    steps: await standings(db, steps),
    others: forgotten.others(),
  };
}

/** Entries from the beginning that are the same, by their hashes. */
async function countCommon(
  read: ReturnType<typeof readNodesOf>,
  until: number,
  leaves: ExportedLeaves,
): Promise<number> {
  for (let at = leaves.begin; at < until; at += PAGE) {
    const indexes = Array.from({ length: Math.min(PAGE, until - at) }, (_, n) => at + n);
    const stored = await read(indexes.map((index) => ({ level: 0, index })));
    const differing = indexes.findIndex(
      (index, n) => !leaves.at(index)?.equals(stored[n] ?? Buffer.alloc(0)),
    );
    if (differing >= 0) return at + differing;
  }
  return Math.max(until, 0);
}

async function standings(db: Tx, steps: readonly ForgottenStep[]): Promise<ReconcileStep[]> {
  const ids = steps.flatMap(({ kind, publicId }) => (kind === "identity" ? [publicId] : []));
  const slugs = new Map((await readSlugs(db, ids)).map(({ publicId, slug }) => [publicId, slug]));
  const found: ReconcileStep[] = [];
  for (const step of steps) {
    const ref = refOf(step, slugs);
    found.push({ ...step, ref, state: ref === null ? "unknown" : await stateOf(db, ref, step) });
  }
  return found;
}

function refOf({ kind, publicId }: ForgottenStep, slugs: ReadonlyMap<string, string>): string | null {
  if (kind === "identity") return slugs.get(publicId) ?? null;
  return kind === "credential" ? formatCredential(publicId) : formatToken(publicId);
}

/** What still stands open, by what the database says now. */
async function stateOf(
  db: Tx,
  ref: string,
  { does, expiresAt, idleTtl }: ForgottenStep,
): Promise<ReconcileStep["state"]> {
  try {
    const { status } = await readTarget(db, ref);
    if (OVER.has(status)) return "done";
    if (does === "pause") return status === "paused" ? "done" : "needed";
    if (does === "revoke") return "needed";
    const [standing] = await readSlugs(db, [], ref);
    if (does === "idle")
      return (standing?.idleTtl ?? Number.POSITIVE_INFINITY) <= (idleTtl ?? 0) ? "done" : "needed";
    return standing?.expiresAt != null && standing.expiresAt <= (expiresAt ?? "") ? "done" : "needed";
  } catch (error) {
    if (error instanceof MidctlError && error.code === "not_found") return "unknown";
    throw error;
  }
}

const OVER: ReadonlySet<string> = new Set(["revoked", "superseded", "abandoned", "expired"]);

/**
 * Does again what is needed, each by a transaction of its own as its own command would.
 * @param onDone after each
 * @throws MidctlError `approval_required` in a protected environment, before anything is done; and as revoking, pausing and updating do:
 * what was done before stands
 */
export async function reconcile(
  db: Database,
  request: Request,
  { steps }: Reconciliation,
  onDone: (done: number) => void,
): Promise<void> {
  const needed = steps.filter(({ state }) => state === "needed");
  await refuseProtected(db, needed);
  for (const [at, step] of needed.entries()) {
    const reason =
      request.reason ?? `log_${step.entry}, ${step.action} of ${step.at}, which a restore had lost`;
    await again(db, { ...request, reason }, step);
    onDone(at + 1);
  }
}

async function again(
  db: Database,
  request: Request,
  { ref, does, expiresAt, idleTtl }: ReconcileStep,
): Promise<void> {
  if (ref === null) return;
  if (does === "expire" || does === "idle") {
    await updateIdentity(db, request, ref, {
      ...{ displayName: null, owner: null, setLabels: {}, removeLabels: [], idleTtl },
      expiresIn: expiresAt === null ? null : { at: expiresAt },
    });
    return;
  }
  const target = await readTarget(db, ref);
  // With an identity that was revoked just now its credentials ended.
  if (OVER.has(target.status)) return;
  await (does === "revoke" ? revokeTarget : pauseTarget)(db, request, target);
}

async function refuseProtected(db: Tx, needed: readonly ReconcileStep[]): Promise<void> {
  const environment = await requireEnvironment(db);
  if (!environment.protected || needed.length === 0) return;
  const refs = (does: string): string =>
    needed.flatMap((step) => (step.does === does ? [step.ref] : [])).join(" ");
  const commands = (["revoke", "pause"] as const).flatMap((does) =>
    refs(does) === "" ? [] : [`midctl ${does} ${refs(does)} --key KEY`],
  );
  throw new MidctlError(
    "approval_required",
    `${environment.name} is protected: what was forgotten is done again by an approval; nothing was changed.`,
    {
      hint: `Request it: ${commands.join("; ") || "midctl identity update REF --expires TIME --idle-ttl DURATION --key KEY"}`,
    },
  );
}
