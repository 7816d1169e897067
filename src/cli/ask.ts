/** Asking for an approval: the request, its signature, and the plan's file. */
import { rmSync } from "node:fs";
import type { Database } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { commitToHash } from "../domain/plan.ts";
import { canonicalScopes } from "../domain/scope.ts";
import type { Draft } from "../operations/approval/draft.ts";
import type { PlanLine } from "../operations/approval/plan.ts";
import { type FoundRequest, findOpenRequest, readRequest } from "../operations/approval/read.ts";
import { rehearsal, rehearseLine } from "../operations/approval/rehearse.ts";
import {
  type Asking,
  approvalRequired,
  DEFAULT_APPROVAL,
  DEFAULT_EXECUTION,
  requestApproval,
} from "../operations/approval/request.ts";
import { requireEnvironment } from "../operations/lookup.ts";
import type { VerbContext } from "./context.ts";
import type { Gated, GateWords } from "./gate.ts";
import { writeNewFile } from "./new-file.ts";
import { requestFrom } from "./request.ts";
import { openKey } from "./signing.ts";
import { requireTrustRoot } from "./trust.ts";

/** What a gated command does in a protected environment: tries itself, rolled back, and asks. */
export async function askInstead<T>(
  context: VerbContext,
  db: Database,
  words: GateWords,
  command: Gated<T>,
): Promise<T> {
  const request = requestFrom(context);
  const open = command.hash === undefined ? null : await findOpenRequest(db, commitToHash(command.hash));
  if (open !== null) throw await refuseRequested(db, open, () => command.draft(db));
  const drafts = await command.draft(db);
  if (context.dryRun) {
    const { envelope } = rehearsal(await requireEnvironment(db), drafts);
    return command.run({ ...request, envelope });
  }
  for (const draft of drafts) await rehearseLine(db, request, draft);
  return ask(context, db, words, command.action, drafts);
}

/** Makes the request, and throws what tells of it. */
export async function ask(
  context: VerbContext,
  db: Database,
  words: GateWords,
  action: string,
  drafts: readonly Draft[],
): Promise<never> {
  const asking = await askingOf(context, words, action);
  const requested = await requestApproval(db, requestFrom(context), asking, drafts);
  throw approvalRequired({ ...requested, status: "open" }, requested.plan.environment, {
    made: true,
    planFile: planPath(words, requested.id),
  });
}

/**
 * A token that a request in force names waits for that one (SPEC §4), where it asks for the same. Where what is wished could not
 * even be drafted, it is another wish, and that is what is wrong with it.
 */
async function refuseRequested(
  db: Database,
  { id, status, digest }: FoundRequest["approval"],
  draft: () => Promise<readonly Draft[]>,
): Promise<MidctlError> {
  const { plan } = await readRequest(db, id);
  const differing = differences(
    plan.lines,
    (await draft()).map(({ line }) => line),
  );
  if (differing.length === 0) {
    return approvalRequired({ id, status, digest }, plan.environment, { made: false, planFile: null });
  }
  return new MidctlError(
    "conflict",
    `The approval ${id} is ${status} and names this token already, with another ${differing.join(", another ")}; nothing was requested.`,
    {
      hint: `Give a new token file for another wish, or first: midctl approval cancel ${id}`,
      details: { approval: id, status, differing },
    },
  );
}

/** In what a wish differs from the line that names its token. Moments do: each is counted from when it is wished. */
function differences(requested: readonly PlanLine[], wished: readonly PlanLine[]): string[] {
  const [wish] = wished;
  if (wish?.credential == null) return [];
  const line = requested.find(({ credential }) => credential?.id === wish.credential?.id);
  if (line === undefined) return ["credential"];
  const told = (value: PlanLine): Readonly<Record<string, unknown>> => ({
    verb: value.do,
    identity: value.identity?.slug,
    name: "name" in value ? value.name : null,
    scopes: value.token === null ? null : canonicalScopes(value.token.scopes).join(" "),
  });
  const [before, now] = [told(line), told(wish)];
  return Object.keys(before).filter((key) => before[key] !== now[key]);
}

/** Who asks: by the key that signs, or, where the policy lets requests go unsigned, as the settings say. */
export async function askingOf(context: VerbContext, words: GateWords, action: string): Promise<Asking> {
  const trust = requireTrustRoot(context);
  if (words.key === undefined && trust.policy.requesterSigns) {
    throw new MidctlError(
      "usage",
      `an approval is needed here (${action}), and the request is signed by whoever makes it; nothing was requested`,
      { hint: "--key FILE with your SSH key, or --key agent" },
    );
  }
  const key = words.key === undefined ? null : await openKey(context, trust, words.key);
  return {
    trust,
    requester: key?.principal ?? context.actor,
    sign: key === null ? null : (plan) => key.sign("request", plan),
    approveWithin: words.approveWithin ?? DEFAULT_APPROVAL,
    executeWithin: words.executeWithin ?? DEFAULT_EXECUTION,
    keep: ({ id, text }) => {
      const path = planPath(words, id);
      writeNewFile(path, text, { undone: "nothing was requested", hint: "give --plan with a new file" });
      return () => rmSync(path, { force: true });
    },
  };
}

export function planPath(words: GateWords, id: string): string {
  return words.plan ?? `${id}.plan.json`;
}
