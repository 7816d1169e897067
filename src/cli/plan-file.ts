/**
 * A plan that no database keeps: upgrading the schema, or taking it away, is requested, signed and carried out by files alone,
 * so that the schema as it is need not know it. The signatures lie beside the plan, under its name with an ending of their own.
 */
import { readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Database } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { digestOf, NAMESPACES, TYPED_DIGITS, type VoteKind } from "../domain/plan.ts";
import { parseSignature } from "../domain/sshsig.ts";
import type { TrustRoot } from "../domain/trust.ts";
import { requireInForce } from "../operations/approval/apply.ts";
import { type PlanLine, readPlan } from "../operations/approval/plan.ts";
import { judgeRequest, type SignedText } from "../operations/approval/read.ts";
import { makePlan } from "../operations/approval/request.ts";
import type { ApprovalDocument } from "./approval-documents.ts";
import { askingOf, planPath } from "./ask.ts";
import type { VerbContext } from "./context.ts";
import type { GateWords } from "./gate.ts";
import { writeNewFile } from "./new-file.ts";
import { readRegularFile } from "./regular-file.ts";

const LONGEST_PLAN = 1024 * 1024;
const LONGEST_SIGNATURE = 16_384;
/** Signatures that are looked at beside one plan. */
const MOST = 64;

export interface SignedFile extends SignedText {
  readonly digest: string;
}

/** @throws MidctlError `usage` for what is no plan */
export function readPlanFile(path: string): SignedFile {
  const text = readRegularFile(path, LONGEST_PLAN, "nothing was changed");
  const plan = readPlan(text);
  const dir = dirname(path);
  const votes = readdirSync(dir)
    .filter((name) => name.startsWith(`${basename(path)}.`) && name.endsWith(".sig"))
    .sort()
    .slice(0, MOST)
    .flatMap((name) => {
      const signature = readRegularFile(join(dir, name), LONGEST_SIGNATURE, "nothing was changed");
      const namespace = parseSignature(signature)?.namespace;
      const kind = (Object.keys(NAMESPACES) as VoteKind[]).find((each) => NAMESPACES[each] === namespace);
      return kind === undefined ? [] : [{ kind, signature }];
    });
  return { plan, text, digest: digestOf(text), votes };
}

/** Writes plan and signature into files, and throws what tells of them. */
export async function askByFile(
  context: VerbContext,
  db: Database,
  words: GateWords,
  action: string,
  line: PlanLine,
): Promise<never> {
  const asking = await askingOf(context, words, action);
  const { id, plan, text, digest, signed } = await makePlan(db, asking, {
    reason: context.reason,
    lines: [line],
  });
  const path = planPath(words, id);
  const said = { undone: "nothing was requested", hint: "give --plan with a new file" };
  writeNewFile(path, text, said);
  if (signed !== null) writeNewFile(`${path}.request.sig`, signed.signature, said);
  const typed = digest.slice(0, TYPED_DIGITS);
  throw new MidctlError(
    "approval_required",
    `An approval is needed in ${plan.environment.name}: the plan ${path} asks for it, and nothing was changed.`,
    {
      hint: `An owner runs: midctl approval approve ${path} --key KEY, and types ${typed}. Then, with all of ${path}*: midctl ${action.replace(".", " ")} --approved ${path}`,
      details: { approval: id, digest, status: "open", approve: typed, planFile: path },
    },
  );
}

/** Where an owner's signature goes. */
export function signaturePath(path: string, principal: string): string {
  return `${path}.${principal.replace(/[^0-9A-Za-z@._-]/g, "_")}.sig`;
}

/**
 * The one line of a plan in a file, which the trust root takes for approved, of this database and in time.
 * @param now the database's clock, RFC 3339
 * @throws MidctlError `denied`, or `conflict` for another database or a plan that ran out of time
 */
export function requireApprovedFile(
  trust: TrustRoot,
  path: string,
  here: { readonly databaseId: string; readonly now: string },
): PlanLine {
  const file = readPlanFile(path);
  const { plan } = file;
  requireInForce(plan.id, judgeRequest(trust, file));
  const problem =
    plan.environment.databaseId !== here.databaseId
      ? "is of another database"
      : Date.parse(plan.executeBy) <= Date.parse(here.now)
        ? `was to be carried out by ${plan.executeBy}`
        : plan.lines.length !== 1
          ? "has more than one line"
          : null;
  const [line] = plan.lines;
  if (problem === null && line !== undefined) return line;
  throw new MidctlError("conflict", `The plan ${path} ${problem}; nothing was changed.`, {
    hint: "Request it anew.",
  });
}

/** A plan's file as `approval` shows requests. */
export function approvalOfFile(trust: TrustRoot, file: SignedFile): ApprovalDocument {
  const { plan, digest } = file;
  const { short } = judgeRequest(trust, file);
  return {
    id: plan.id,
    digest,
    action: plan.action,
    requester: plan.requester,
    quorum: trust.policy.quorum,
    breakGlass: false,
    status: short === null ? "approved" : "open",
    lines: plan.lines.length,
    done: 0,
    superseded: 0,
    requestedAt: plan.requestedAt,
    approveBy: plan.approveBy,
    executeBy: plan.executeBy,
    endedAt: null,
  };
}
