import type { Database, Tx } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import { digestOf, NAMESPACES, type VoteKind } from "../../domain/plan.ts";
import { type Judgement, judgePlan, type Shortcoming, type Signature } from "../../domain/receipt.ts";
import { type IdentityFault, identifySigner, type TrustRoot } from "../../domain/trust.ts";
import {
  type Approval,
  type ApprovalStatus,
  findApproval,
  findRequestOf,
  readOutcomes,
  readPlanHashes,
  readPlanText,
  readVotes,
  type Vote,
} from "../../repository/approval.ts";
import type { Request } from "../change.ts";
import { type Plan, readPlan } from "./plan.ts";
import { type Effect, rehearseLine } from "./rehearse.ts";

/** A request with its plan, as the bytes say that people sign. */
export interface FoundRequest {
  readonly approval: Approval;
  readonly plan: Plan;
  readonly text: string;
  readonly votes: readonly Vote[];
}

/** @throws MidctlError `not_found`; `conflict` where the plan that is kept is not the one that the request names */
export async function readRequest(db: Tx, id: string): Promise<FoundRequest> {
  const approval = await requireRequest(db, id);
  const [text, votes] = await Promise.all([readPlanText(db, approval.digest), readVotes(db, id)]);
  if (text === null || digestOf(text) !== approval.digest) throw altered(id);
  const plan = readPlan(text);
  if (plan.id !== id) throw altered(id);
  return { approval, plan, text, votes };
}

/** A request without its plan. @throws MidctlError `not_found` */
export async function requireRequest(db: Tx, id: string): Promise<Approval> {
  const approval = await findApproval(db, id);
  if (approval !== null) return approval;
  throw new MidctlError("not_found", `There is no approval ${id} in this database; nothing was changed.`, {
    hint: "midctl approval list shows what is open.",
  });
}

function altered(id: string): MidctlError {
  return new MidctlError(
    "conflict",
    `What is kept as the plan of ${id} is not what its digest names; nothing was done.`,
    { hint: "Somebody altered it behind the guards. midctl doctor; then request it anew." },
  );
}

/** A plan with what was signed under it, wherever it is kept. */
export interface SignedText {
  readonly plan: Plan;
  readonly text: string;
  readonly votes: readonly Signature[];
}

/** What a trust root makes of what is signed under a plan. */
export function judgeRequest(trust: TrustRoot, { plan, text, votes }: SignedText): Judgement {
  return judgePlan(
    trust,
    {
      text,
      requester: plan.requester,
      requestedAt: plan.requestedAt,
      databaseId: plan.environment.databaseId,
    },
    votes,
  );
}

/** Where a request stands: what the trust root makes of its signatures, unless something else ended it first. */
export interface Standing extends Omit<Judgement, "short"> {
  readonly short: Shortcoming | "break_glass" | Ended | null;
}
type Ended = Extract<ApprovalStatus, "rejected" | "cancelled" | "superseded" | "expired">;

export function judgeStanding(
  trust: TrustRoot,
  found: SignedText & { readonly approval: Pick<Approval, "status"> },
): Standing {
  const judgement = judgeRequest(trust, found);
  const { status } = found.approval;
  const ended =
    status === "rejected" || status === "cancelled" || status === "superseded" || status === "expired";
  return {
    ...judgement,
    short: ended ? status : (glassFault(trust, found.plan, judgement) ?? judgement.short),
  };
}

/**
 * What keeps a plan from having broken the glass by this trust root; null where nothing does, and for every other plan. The
 * database takes the requester's word, so it has to be signed, whatever the policy wants of requests, by whom the policy names.
 */
export function glassFault(
  { policy }: TrustRoot,
  { breakGlass, requester }: Plan,
  { signers, short }: Judgement,
): "break_glass" | "request_unsigned" | null {
  if (breakGlass === null || short === "database") return null;
  if (!policy.breakGlass.includes(requester)) return "break_glass";
  const signed = signers.some(({ kind, principal }) => kind === "request" && principal === requester);
  return signed ? null : "request_unsigned";
}

/** A vote, and whether it holds: null without a trust root to judge by, or without a signature. */
export interface JudgedVote {
  readonly kind: VoteKind;
  readonly principal: string;
  readonly keyFingerprint: string | null;
  readonly at: string;
  readonly holds: boolean | null;
  readonly fault: IdentityFault | "other_principal" | null;
}

export function judgeVotes(trust: TrustRoot | null, { plan, text, votes }: FoundRequest): JudgedVote[] {
  const message = new TextEncoder().encode(text);
  return votes.map(({ kind, principal, keyFingerprint, at, signature }) => {
    const vote = { kind, principal, keyFingerprint, at };
    if (trust === null || signature === null) return { ...vote, holds: null, fault: null };
    const found = identifySigner(trust, {
      armored: signature,
      message,
      namespace: NAMESPACES[kind],
      at: Date.parse(plan.requestedAt),
    });
    if ("fault" in found) return { ...vote, holds: false, fault: found.fault };
    const same = found.principal === principal;
    return { ...vote, holds: same, fault: same ? null : "other_principal" };
  });
}

/** A line, and what it would change now; or why nothing can be said of that. */
export interface ShownLine {
  readonly line: number;
  readonly outcome: "done" | "superseded" | null;
  readonly effect: Effect | null;
  readonly problem: string | null;
}

/**
 * Every line of a request, and of the first ones what they would change now, each tried in a transaction that is rolled back.
 * Lines that have ended are not tried, nor are those that can only be carried out together.
 * @param most so many lines at most are tried, from the first
 * @returns untried: open lines past these
 */
export async function previewLines(
  db: Database,
  request: Request,
  { approval, plan }: FoundRequest,
  most: number,
): Promise<{ readonly lines: readonly ShownLine[]; readonly untried: number }> {
  const outcomes = await readOutcomes(db, approval.id);
  const open = approval.status === "open" || approval.status === "approved";
  const hashes = open ? await readPlanHashes(db, approval.digest) : [];
  const lines: ShownLine[] = [];
  let untried = 0;
  for (const [index, line] of plan.lines.entries()) {
    const outcome = outcomes.get(index + 1)?.outcome ?? null;
    const base = { line: index + 1, outcome, effect: null, problem: null };
    const tried = open && outcome === null && line.do !== "environment.protect";
    if (!tried || index >= most) {
      if (tried) untried++;
      lines.push(base);
      continue;
    }
    try {
      const effect = await rehearseLine(db, request, { line, hash: hashes[index] ?? null });
      lines.push({ ...base, effect });
    } catch (error) {
      if (!(error instanceof MidctlError) || error.code === "unavailable") throw error;
      lines.push({ ...base, problem: error.message });
    }
  }
  return { lines, untried };
}

/** The request in force that names this commitment to a token; null where there is none. */
export function findOpenRequest(db: Tx, secret: string): Promise<Approval | null> {
  return findRequestOf(db, secret);
}
