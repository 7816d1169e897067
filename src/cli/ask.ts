/** Asking for an approval: the request, its signature, and the plan's file. */
import { rmSync } from "node:fs";
import type { Database } from "../db/database.ts";
import { canonicalText } from "../domain/canonical.ts";
import { MidctlError } from "../domain/errors.ts";
import { commitToHash } from "../domain/plan.ts";
import { canonicalScopes } from "../domain/scope.ts";
import type { Draft } from "../operations/approval/draft.ts";
import type { Plan, PlanLine } from "../operations/approval/plan.ts";
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
import { readMoment } from "../repository/moment.ts";
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
    plan,
    (await draft()).map(({ line }) => line),
    (await readMoment(db)).now,
  );
  if (differing.length === 0) {
    return approvalRequired({ id, status, digest }, plan.environment, { made: false, planFile: null });
  }
  return new MidctlError(
    "conflict",
    `The approval ${id} is ${status} and names this token already, and differs in: ${differing.join(", ")}; nothing was requested.`,
    {
      hint: `Give a new token file for another wish, or first: midctl approval cancel ${id}`,
      details: { approval: id, status, differing },
    },
  );
}

/** ms by which two lives of the same length may differ: each is counted from when it is wished. */
const SAME_LIFE = 60_000;

/** In what a wish differs from the line that names its token. @param now RFC 3339 */
function differences(requested: Plan, wished: readonly PlanLine[], now: string): string[] {
  const [wish] = wished;
  if (wish?.credential == null) return [];
  const line = requested.lines.find(({ credential }) => credential?.id === wish.credential?.id);
  if (line === undefined) return ["credential"];
  const [before, after] = [tell(line), tell(wish)];
  const differing = Object.keys(before).filter(
    // What only one of them says is of an identity that was made meanwhile.
    (key) => before[key] !== after[key] && before[key] !== undefined && after[key] !== undefined,
  );
  const life = (of: PlanLine, from: string) =>
    of.token === null ? 0 : Date.parse(of.token.notAfter) - Date.parse(from);
  const apart = Math.abs(life(line, requested.requestedAt) - life(wish, now));
  // A moment that was given is the same; a life that was given ends later by now.
  const same = line.token?.notAfter === wish.token?.notAfter || apart <= SAME_LIFE;
  return same ? differing : [...differing, "expires"];
}

/** What makes a wish another one, moments apart. */
function tell(line: PlanLine): Readonly<Record<string, unknown>> {
  const create = "create" in line ? line.create : null;
  const said = (value: unknown) => (value === undefined ? undefined : canonicalText(value));
  return {
    verb: line.do,
    identity: line.identity?.slug,
    name: "name" in line ? line.name : undefined,
    scopes: line.token === null ? undefined : canonicalScopes(line.token.scopes).join(" "),
    activateWithin: "activateWithin" in line ? line.activateWithin : undefined,
    grace: "grace" in line ? line.grace : undefined,
    compromised: "revokes" in line ? line.revokes.length > 0 : undefined,
    replaces: "replaces" in line ? line.replaces.id : undefined,
    replacePending: "replacesPending" in line ? line.replacesPending : undefined,
    owner: create?.owner,
    displayName: create?.displayName,
    labels: said(create?.labels),
    parent: said(create?.parent),
    workspace: said(create?.workspace),
    idleTtl: said(create?.idleTtl),
  };
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
