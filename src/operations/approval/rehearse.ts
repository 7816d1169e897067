import type { Database, Tx } from "../../db/database.ts";
import { endLines, insertRequest, insertVote } from "../../repository/approval.ts";
import type { Environment } from "../../repository/environment.ts";
import type { Envelope, Request } from "../change.ts";
import { requireEnvironment } from "../lookup.ts";
import { carryOutLine, readSubject, requireUnmoved } from "./carry-out.ts";
import { composePlan } from "./compose.ts";
import type { Draft } from "./draft.ts";
import { type PlanLine, writePlan } from "./plan.ts";

/** What carrying out a line changes, field by field, as the database says that has tried it. */
export interface Effect {
  readonly do: string;
  /** Slug, `mc_…`, `at_…`, or the environment's name. */
  readonly target: string;
  readonly changes: readonly {
    readonly field: string;
    readonly from: string | null;
    readonly to: string | null;
  }[];
}

/**
 * Runs the real transaction of a line, deferred checks included, and rolls it back: what it returns is what would happen.
 * The guards ask for an approved plan; for this one transaction there is one, and it goes with it.
 * @throws MidctlError as the operation
 */
export async function rehearseLine(db: Database, request: Request, draft: Draft): Promise<Effect> {
  const environment = await requireEnvironment(db);
  const { envelope, effect } = rehearsal(environment, [draft]);
  await carryOutLine(db, { ...request, dryRun: true, noWait: true, envelope }, draft.line, draft.hash);
  return effect();
}

/**
 * An envelope for a transaction that is rolled back, and what its first line will have changed.
 * @param options.unmoved whether what the lines are about is compared with what they were made on
 */
export function rehearsal(
  environment: Environment,
  drafts: readonly Draft[],
  { unmoved = true }: { readonly unmoved?: boolean } = {},
): { readonly envelope: Envelope; readonly effect: () => Effect } {
  const [first] = drafts;
  let before: ReadonlyMap<string, string> = new Map();
  let after: ReadonlyMap<string, string> = new Map();
  return {
    envelope: {
      open: async (tx) => {
        if (first !== undefined) before = await readSubject(tx, first.line);
        await pretendApproval(tx, drafts);
        if (unmoved) for (const { line } of drafts) await requireUnmoved(tx, line);
      },
      close: async (tx) => {
        if (first !== undefined) after = await readSubject(tx, first.line);
      },
    },
    effect: () => ({
      do: first?.line.do ?? "",
      target: first === undefined ? environment.name : targetName(first.line, environment),
      changes: difference(before, after),
    }),
  };
}

/** What a line is about, as people name it. */
export function targetName(line: PlanLine, environment: { readonly name: string }): string {
  if (line.do === "environment.grant") return line.role;
  return line.credential?.id ?? line.identity?.slug ?? environment.name;
}

async function pretendApproval(tx: Tx, drafts: readonly Draft[]): Promise<void> {
  const plan = await composePlan(tx, {
    requester: "rehearsal",
    reason: null,
    breakGlass: null,
    lines: drafts.map(({ line }) => line),
    approveWithin: 3600,
    executeWithin: 3600,
  });
  const { text, digest } = writePlan(plan);
  await insertRequest(tx, { plan: text, digest, hashes: drafts.map(({ hash }) => hash), quorum: 1 });
  await insertVote(tx, plan.id, {
    kind: "approval",
    principal: "nobody, in a rehearsal",
    keyFingerprint: "",
    signature: "",
  });
  await endLines(
    tx,
    plan.id,
    "done",
    drafts.map((_, index) => index + 1),
  );
}

function difference(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): Effect["changes"] {
  return [...new Set([...before.keys(), ...after.keys()])]
    .map((field) => ({ field, from: before.get(field) ?? null, to: after.get(field) ?? null }))
    .filter(({ from, to }) => from !== to);
}
