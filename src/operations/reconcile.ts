import type { Database, Tx } from "../db/database.ts";
import { originOf } from "../domain/checkpoint.ts";
import { MidctlError } from "../domain/errors.ts";
import { byUrgency, Forgotten, type ForgottenStep } from "../domain/forgotten.ts";
import type { ExportedLeaves } from "../domain/log-export.ts";
import { reasonAgain } from "../domain/lost-entry.ts";
import { formatCredential, formatToken } from "../domain/reference.ts";
import { readNodesOf } from "../domain/tile.ts";
import { readServer } from "../repository/overview.ts";
import { isInGrace, isPauseStored, readSlugs } from "../repository/standing.ts";
import { readTree } from "../repository/tree.ts";
import type { ExportedLog } from "./audit-verify.ts";
import type { Request } from "./change.ts";
import { readTarget, type Target } from "./control.ts";
import { updateIdentity } from "./identity-update.ts";
import { readGrowth } from "./log-head.ts";
import { requireEnvironment } from "./lookup.ts";
import { pauseTarget } from "./pause.ts";
import { type OpenLimit, readLimits } from "./reconcile-limits.ts";
import { revokeTarget } from "./revoke.ts";

export interface Reconciliation {
  readonly origin: string;
  /** Entries that database and export have in common. */
  readonly common: number;
  /** Entries that the export has and the database lost. */
  readonly lost: number;
  readonly steps: readonly ReconcileStep[];
  /** What else had narrowed anybody's reach, and is for people to do again. */
  readonly limits: readonly OpenLimit[];
  /** How many lost entries there are of each action that is not brought back, and had narrowed nothing. */
  readonly others: Readonly<Record<string, number>>;
}

export interface ReconcileStep extends ForgottenStep {
  /** A slug, mc_… or at_…; null for an identity that the database does not know. */
  readonly ref: string | null;
  /** `unknown`: the database has no such thing, so nobody gets in by it. */
  readonly state: "needed" | "done" | "unknown";
}

/** What could not be done again, and why. */
export interface Refused {
  readonly step: ReconcileStep;
  readonly error: MidctlError;
}

/** Leaves compared at once. */
const PAGE = 4_096;

/**
 * What an export knows and the database forgot. Changes nothing.
 * @param exported the export: the root before it, its leaves and its head
 * @param entries hands over those of the export from an index on, in their order
 * @throws MidctlError `conflict` for an export of another log, and for one that begins behind where the two differ
 */
export async function planReconciliation(
  db: Tx,
  { begun, leaves, head }: ExportedLog,
  entries: (from: number, take: (entry: string) => void) => Promise<void>,
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
  const { growth } = await readGrowth(tree, { size: leaves.begin, root: begun });
  if (growth !== "goes_on") {
    throw new MidctlError(
      "conflict",
      `The export begins with entry ${leaves.begin}, and log and export differ before that; nothing was compared.`,
      { hint: "Give an export that begins earlier." },
    );
  }
  const common = await countCommon(readNodesOf(tree), Math.min(tree.size, leaves.end), leaves);
  const forgotten = new Forgotten();
  if (common < leaves.end) await entries(common, (entry) => forgotten.take(entry));
  const standing = await standings(db, forgotten.steps());
  const isUnborn = ({ isBorn, state }: ReconcileStep) => isBorn && state === "unknown";
  return {
    origin,
    common,
    lost: forgotten.count,
    steps: standing.filter((step) => !isUnborn(step)),
    limits: await readLimits(db, forgotten.limits()),
    others: countOthers(forgotten.others(), standing.filter(isUnborn)),
  };
}

/** With what had been decided of what was made in lost entries and is not there: nobody gets in by it. */
function countOthers(
  others: Reconciliation["others"],
  unborn: readonly ReconcileStep[],
): Reconciliation["others"] {
  const counts = new Map(Object.entries(others));
  for (const { action } of unborn) counts.set(action, (counts.get(action) ?? 0) + 1);
  return Object.fromEntries([...counts].sort());
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
  return until;
}

async function standings(db: Tx, steps: readonly ForgottenStep[]): Promise<ReconcileStep[]> {
  const ids = steps.flatMap(({ kind, publicId }) => (kind === "identity" ? [publicId] : []));
  const slugs = new Map((await readSlugs(db, ids)).map(({ publicId, slug }) => [publicId, slug]));
  const found: ReconcileStep[] = [];
  for (const step of steps) {
    const ref = refOf(step, slugs);
    found.push(
      ref === null ? { ...step, ref, state: "unknown" } : { ...step, ref, ...(await stateOf(db, ref, step)) },
    );
  }
  // What is done of one may be another than what was wished for.
  return found.sort(byUrgency);
}

function refOf({ kind, publicId }: ForgottenStep, slugs: ReadonlyMap<string, string>): string | null {
  if (kind === "identity") return slugs.get(publicId) ?? null;
  return kind === "credential" ? formatCredential(publicId) : formatToken(publicId);
}

/** What still stands open, by what the database says now, and what is to be done of it. */
async function stateOf(
  db: Tx,
  ref: string,
  { does, expiresAt, idleTtl }: ForgottenStep,
): Promise<Pick<ReconcileStep, "state" | "does">> {
  try {
    const target = await readTarget(db, ref);
    if (await isOver(db, target)) return { does, state: "done" };
    if (does === "pause") {
      if (target.status === "paused")
        return { does, state: (await isHalted(db, target)) ? "done" : "needed" };
      // What cannot be paused ends: its token would work again by being used.
      return { does: UNPAUSABLE.has(target.status) ? "revoke" : does, state: "needed" };
    }
    if (does === "revoke") return { does, state: "needed" };
    const [standing] = await readSlugs(db, [], ref);
    const isDone =
      does === "idle"
        ? (standing?.idleTtl ?? Number.POSITIVE_INFINITY) <= (idleTtl ?? 0)
        : standing?.expiresAt != null && standing.expiresAt <= (expiresAt ?? "");
    return { does, state: isDone ? "done" : "needed" };
  } catch (error) {
    if (error instanceof MidctlError && error.code === "not_found") return { does, state: "unknown" };
    throw error;
  }
}

/** Whether nobody gets in by it any more, whatever is done to it. */
async function isOver(db: Tx, { status, reference }: Target): Promise<boolean> {
  // Superseded it works on, as long as its grace lasts.
  if (status === "superseded" && reference.kind !== "identity")
    return !(await isInGrace(db, reference.publicId));
  return OVER.has(status);
}

/** Whether a pause stands for descendants, too. */
async function isHalted(db: Tx, { reference }: Target): Promise<boolean> {
  return reference.kind !== "identity" || (await isPauseStored(db, reference.slug));
}

const OVER: ReadonlySet<string> = new Set(["revoked", "superseded", "abandoned", "expired"]);
const UNPAUSABLE: ReadonlySet<string> = new Set(["pending", "superseded"]);

/**
 * Does again what is needed, each by a transaction of its own as its own command would. What is refused is told, and the others are done.
 * @param onDone after each, with how many were done
 * @throws MidctlError `approval_required` in a protected environment, before anything is done; `unavailable` and `interrupted` as they come:
 * what was done before stands
 */
export async function reconcile(
  db: Database,
  request: Request,
  { steps }: Pick<Reconciliation, "steps">,
  onDone: (done: number) => void,
): Promise<readonly Refused[]> {
  const needed = steps.filter(({ state }) => state === "needed");
  await refuseProtected(db, needed);
  const refused: Refused[] = [];
  for (const [at, step] of needed.entries()) {
    const reason = request.reason ?? reasonAgain(step);
    try {
      await again(db, { ...request, reason }, step);
    } catch (error) {
      if (!(error instanceof MidctlError) || ENDING.has(error.code)) throw error;
      refused.push({ step, error });
    }
    onDone(at + 1 - refused.length);
  }
  return refused;
}

/** After which nothing more would come of it. */
const ENDING: ReadonlySet<string> = new Set(["unavailable", "interrupted", "schema_version"]);

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
  if (await isOver(db, target)) return;
  await (does === "revoke" ? revokeTarget : pauseTarget)(db, request, target);
}

async function refuseProtected(db: Tx, needed: readonly ReconcileStep[]): Promise<void> {
  const environment = await requireEnvironment(db);
  if (!environment.protected || needed.length === 0) return;
  throw new MidctlError(
    "approval_required",
    `${environment.name} is protected: what was forgotten is done again by approvals; nothing was changed.`,
    {
      hint: `Request ${needed.length === 1 ? "it" : "them"}: ${requests(needed, (await readServer(db)).clock).join("; ")}`,
    },
  );
}

/** The commands that request it: one for all that is revoked, one for all that is paused, and one for each other. */
function requests(needed: readonly ReconcileStep[], now: number): string[] {
  const ended = new Set(
    needed.flatMap(({ kind, does, publicId }) =>
      kind === "identity" && does === "revoke" ? [publicId] : [],
    ),
  );
  const refs = (does: string): string[] =>
    needed.flatMap((step) =>
      // An identity's credentials end with it, and a line of a plan for each would find that done.
      step.does !== does ||
      step.ref === null ||
      (step.kind === "credential" && ended.has(step.identity ?? ""))
        ? []
        : [step.ref],
    );
  const controls = ["revoke", "pause"].flatMap((does) =>
    refs(does).length === 0 ? [] : [`midctl ${does} ${refs(does).join(" ")} --key KEY`],
  );
  const updated = new Set(
    needed.flatMap(({ does, ref }) => (does === "expire" || does === "idle" ? [ref] : [])),
  );
  const updates = [...updated].map((ref) => {
    const of = (does: string) => needed.find((step) => step.does === does && step.ref === ref);
    const [expire, idle] = [of("expire"), of("idle")];
    const left = Math.floor((Date.parse(expire?.expiresAt ?? "") - now) / 1000);
    if (left <= 0) return `midctl revoke ${ref} --key KEY`;
    // In one: a second request would find the identity another one than it was.
    return [
      `midctl identity update ${ref}`,
      ...(expire === undefined ? [] : [`--expires ${left}s`]),
      ...(idle === undefined ? [] : [`--idle-ttl ${idle.idleTtl}s`]),
      "--key KEY",
    ].join(" ");
  });
  return [...controls, ...updates];
}
