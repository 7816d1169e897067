import type { Database, Tx } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import type { Judgement } from "../../domain/receipt.ts";
import type { TrustRoot } from "../../domain/trust.ts";
import {
  type Approval,
  endLines,
  findApproval,
  isLineOpen,
  readOpenLines,
  readPlanHashes,
} from "../../repository/approval.ts";
import { findCampaignOf } from "../../repository/campaign.ts";
import { change, type Request } from "../change.ts";
import { protectEnvironment } from "../db-protect.ts";
import { awaitLetGo } from "../let-go.ts";
import { carryOutLine, requireUnmoved } from "./carry-out.ts";
import type { Plan, PlanLine } from "./plan.ts";
import { type FoundRequest, glassFault, judgeRequest, readRequest } from "./read.ts";
import { approvalRequired } from "./request.ts";

export interface AppliedLine {
  readonly line: number;
  readonly outcome: "done" | "superseded";
  /** Why a line was superseded. */
  readonly problem: string | null;
}

export interface Applied {
  /** False where everything had been carried out before. */
  readonly changed: boolean;
  readonly approval: Approval;
  /** What this call carried out. */
  readonly results: readonly AppliedLine[];
}

/** What is carried out: broken glass whether or not somebody has countersigned it meanwhile. */
export const CARRIED_OUT: ReadonlySet<Approval["status"]> = new Set([
  "approved",
  "uncountersigned",
  "countersigned",
]);

/** What a line's target may say to a line that comes too late. */
const MOVED = new Set(["conflict", "illegal_transition", "not_found"]);

/**
 * Carries an approved plan out, line by line, each once and in one transaction with its change, whoever else applies it at
 * the same time and however often it is killed. A line whose target moved is superseded; the others go on.
 * @throws MidctlError `approval_required` for one that waits for votes, `denied` where the trust root does not agree that
 * it is approved, `conflict` for one that was rejected, cancelled, superseded, has expired, or is a campaign's
 */
export async function applyApproval(
  db: Database,
  request: Request,
  trust: TrustRoot,
  id: string,
  onLine: (line: AppliedLine) => void = () => {},
): Promise<Applied> {
  const found = await readRequest(db, id);
  const { approval, plan } = found;
  const campaign = await findCampaignOf(db, id);
  if (campaign !== null) {
    throw new MidctlError(
      "conflict",
      `${id} is carried out by the campaign ${campaign}, which delivers each secret in its turn; nothing was changed.`,
      {
        hint: `midctl runbook resume ${campaign}, with the --token-file-dir or --runbook that it was asked for with, on the machine that has its secrets`,
        details: { approval: id, campaign },
      },
    );
  }
  const left = approval.lines - approval.done - approval.superseded;
  if (left === 0 && (approval.status === "executed" || approval.status === "countersigned")) {
    return { changed: false, approval, results: [] };
  }
  if (approval.status === "open")
    throw approvalRequired(approval, plan.environment, { made: false, planFile: null });
  if (approval.status === "executed") throw notExecuted(approval, left);
  if (!CARRIED_OUT.has(approval.status)) {
    throw new MidctlError("conflict", `${id} is ${approval.status}; nothing was changed.`, {
      hint: "Request it anew where it is still wanted.",
      details: { approval: id, status: approval.status },
    });
  }
  const judgement = judgeRequest(trust, found);
  if (plan.breakGlass === null) requireInForce(id, judgement);
  else
    requireGlass(
      id,
      glassFault(trust, plan, judgement) ?? (judgement.short === "database" ? "database" : null),
    );
  const results: AppliedLine[] = [];
  const note = (line: AppliedLine): void => {
    results.push(line);
    onLine(line);
  };
  const acting: Request = { ...request, reason: request.reason ?? plan.reason, approval: id };
  if (plan.lines[0]?.do === "environment.protect") await applyWhole(db, acting, plan, note);
  else await applyLines(db, acting, found, note);
  if (results.some(({ line, outcome }) => outcome === "done" && endsLives(plan.lines[line - 1]))) {
    await waitForVerifiers(db, id);
  }
  return { changed: results.length > 0, approval: (await findApproval(db, id)) ?? approval, results };
}

/** What says that it is done, and is not, was written by hand. */
function notExecuted({ id, status, lines }: Approval, left: number): MidctlError {
  return new MidctlError(
    "conflict",
    `${id} is called ${status}, and ${left} of ${lines} lines were never carried out; nothing was changed.`,
    {
      hint: "Somebody altered it behind the guards: midctl doctor, then request it anew.",
      details: { approval: id, status, left },
    },
  );
}

function endsLives(line: PlanLine | undefined): boolean {
  return (
    line?.do === "pause" ||
    line?.do === "revoke" ||
    (line?.do === "credential.rotate" && line.revokes.length > 0)
  );
}

/** Once for all lines: no request that starts after this is accepted by what they ended (SPEC §8). */
async function waitForVerifiers(db: Database, id: string): Promise<void> {
  try {
    await awaitLetGo(db);
  } catch (cause) {
    throw new MidctlError(
      "unavailable",
      `What ${id} says was carried out, and that stands; but the database was lost before every verifier was seen to let go.`,
      { hint: "midctl approval show says where it stands.", details: { approval: id }, cause },
    );
  }
}

/** Why a trust root does not agree that a request is approved; null where it does. */
export function explainShort({ short, approvers, quorum }: Judgement): string | null {
  if (short === null) return null;
  return {
    database: "its policy names other databases than this one",
    request_unsigned: "no signature of the requester holds under the request",
    quorum: `${approvers.length} of ${quorum} approvals hold${approvers.length === 0 ? "" : ` (${approvers.join(", ")})`}`,
  }[short];
}

/** @throws MidctlError `denied` that says what is missing */
export function requireInForce(id: string, judgement: Judgement): void {
  const why = explainShort(judgement);
  if (why === null) return;
  const { short, approvers, quorum, faults } = judgement;
  throw new MidctlError(
    "denied",
    `The trust root does not agree that ${id} is approved: ${why}. Nothing was changed.`,
    {
      hint: `midctl approval show ${id} judges each signature.`,
      details: { approval: id, short, approvers, quorum, faults },
    },
  );
}

/** Glass that was begun to be broken is broken on by whom the policy lets, and by nobody else: the database asks nothing. */
function requireGlass(id: string, fault: "break_glass" | "request_unsigned" | "database" | null): void {
  if (fault === null) return;
  const why = {
    break_glass: "the policy's breakGlass does not name who did it",
    request_unsigned: "no signature of who did it holds under it",
    database: "the policy names other databases than this one",
  }[fault];
  throw new MidctlError(
    "denied",
    `By the trust root ${id} did not break the glass: ${why}. Nothing was changed.`,
    { hint: `midctl approval show ${id}`, details: { approval: id, short: fault } },
  );
}

async function applyLines(
  db: Database,
  request: Request,
  found: FoundRequest,
  note: (line: AppliedLine) => void,
): Promise<void> {
  const { id, digest } = found.approval;
  const hashes = await readPlanHashes(db, digest);
  for (const number of await readOpenLines(db, id)) {
    const applied = await applyLine(db, request, found, number, hashes[number - 1] ?? null);
    if (applied !== null) note(applied);
  }
}

/**
 * Carries one line out, in a transaction of its own; where its target moved, it is superseded. Whether the request is in force is
 * the caller's to ask.
 * @param hash what the line's token is kept as, hex
 * @param close what else the same transaction does
 * @returns null where it was not open any more: somebody else was faster
 * @throws MidctlError `conflict` where the request ended meanwhile
 */
export async function applyLine(
  db: Database,
  request: Request,
  { approval: { id }, plan }: FoundRequest,
  number: number,
  hash: string | null,
  close?: (tx: Tx) => Promise<void>,
): Promise<AppliedLine | null> {
  const line = plan.lines[number - 1];
  if (line === undefined) return null;
  const envelope = {
    open: (tx: Tx): Promise<void> => takeLine(tx, id, number, line),
    ...(close === undefined ? {} : { close }),
  };
  try {
    await carryOutLine(db, { ...request, noWait: true, envelope }, line, hash);
    return { line: number, outcome: "done", problem: null };
  } catch (error) {
    if (!(error instanceof MidctlError) || !MOVED.has(error.code)) throw error;
    // Whoever applies it beside us may have been faster with this one.
    if (!(await isLineOpen(db, id, number))) return null;
    await requireStillOpen(db, id);
    await change(db, request, (tx) => endLines(tx, id, "superseded", [number]));
    return { line: number, outcome: "superseded", problem: error.message };
  }
}

/**
 * Uses a line up, and makes sure that what it is about is as it was when the plan was made.
 * @throws MidctlError `conflict` for one that is used up, or has moved
 */
export async function takeLine(tx: Tx, id: string, number: number, line: PlanLine): Promise<void> {
  await endLines(tx, id, "done", [number]);
  await requireUnmoved(tx, line);
}

/** A plan that ran out of time, or was cancelled, is no reason to call its lines superseded. */
async function requireStillOpen(db: Database, id: string): Promise<void> {
  const approval = await findApproval(db, id);
  if (approval !== null && CARRIED_OUT.has(approval.status)) return;
  throw new MidctlError(
    "conflict",
    `${id} is ${approval?.status ?? "gone"} by now; what was carried out stands, and nothing more was changed.`,
    { hint: "Request the rest anew where it is still wanted.", details: { approval: id } },
  );
}

/** Protection is one decision over all that is alive: all lines, or none. */
async function applyWhole(
  db: Database,
  request: Request,
  plan: Plan,
  note: (line: AppliedLine) => void,
): Promise<void> {
  const numbers = plan.lines.map((_, index) => index + 1);
  const open = (tx: Tx): Promise<void> => endLines(tx, plan.id, "done", numbers);
  await protectEnvironment(db, { ...request, envelope: { open } }, plan.lines);
  for (const line of numbers) note({ line, outcome: "done", problem: null });
}
