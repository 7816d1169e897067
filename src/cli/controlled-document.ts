/** What pause, resume and revoke share: targets read first, confirmed once, then one transaction each. */
import * as z from "zod/mini";
import type { Database } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import type { Request } from "../operations/change.ts";
import { type Controlled, readTarget, type Target } from "../operations/control.ts";
import { requireEnvironment } from "../operations/lookup.ts";
import type { VerbContext } from "./context.ts";
import { letGoSchema } from "./documents.ts";
import { type GateWords, gated } from "./gate.ts";
import { requestFrom } from "./request.ts";
import type { Outcome } from "./verb.ts";

export const controlledOutput = z.object({
  results: z.array(
    z.object({
      ref: z.string(),
      kind: z.enum(["identity", "credential", "token"]),
      changed: z.boolean(),
      status: z.nullable(z.string()),
      effectiveStatus: z.nullable(z.string()),
      letGo: z.nullable(letGoSchema),
      error: z.nullable(z.object({ code: z.string(), message: z.string(), hint: z.nullable(z.string()) })),
    }),
  ),
});
export type ControlledDocument = z.infer<typeof controlledOutput>;
type Result = ControlledDocument["results"][number];

interface ControlVerb {
  readonly name: "pause" | "resume" | "revoke";
  readonly confirm: boolean;
  readonly noWait?: boolean;
  readonly gate: GateWords & Partial<GlassWords>;
}

/** At once, where protected, and countersigned afterwards. */
export interface GlassWords {
  readonly breakGlass: boolean;
  readonly ticket: string | undefined;
}

export const glassOptions = {
  breakGlass: {
    summary:
      "where protected: at once, by a key that the policy allows it; stays open until another owner countersigns",
  },
  ticket: { value: "TEXT", summary: "with --break-glass: where the emergency is on record" },
} as const;

const STATUS = { pause: "paused", resume: "active", revoke: "revoked" } as const;

type Control = (db: Database, request: Request, target: Target) => Promise<Controlled>;

/**
 * Reads all targets before anything is done, so that a mistyped one stops the whole command; then one transaction each.
 * One target that fails is the command's error; some of many are results, and exit 8.
 */
export async function controlAll(
  refs: readonly string[],
  context: VerbContext,
  verb: ControlVerb,
  control: Control,
): Promise<Outcome<ControlledDocument>> {
  const db = await context.database();
  const targets: Target[] = [];
  for (const ref of new Set(refs)) targets.push(await readTarget(db, ref));
  return controlTargets(db, targets, context, verb, control);
}

export async function controlTargets(
  db: Database,
  targets: readonly Target[],
  context: VerbContext,
  verb: ControlVerb,
  control: Control,
): Promise<Outcome<ControlledDocument>> {
  if (!(await asksInstead(db, verb))) await confirm(targets, context, verb);
  const request: Request = {
    ...requestFrom(context),
    noWait: verb.noWait === true,
    onCommitted: () => context.standBy(standing(results.length + 1, targets.length)),
  };
  const results: Result[] = [];
  const envelope = await breakGlass(db, targets, context, verb);
  for (const [index, target] of targets.entries()) {
    const run = (claimed: Request) =>
      control(db, { ...request, ...claimed, ...(envelope?.(target) ?? {}) }, target);
    try {
      const rest = context.dryRun ? [target] : targets.slice(index);
      const draft = async () =>
        (await import("../operations/approval/draft.ts")).draftControls(db, rest, STATUS[verb.name]);
      const done = await gated(context, db, verb.gate, { action: verb.name, draft, run });
      results.push({ ...done, error: null });
    } catch (error) {
      if (error instanceof MidctlError && error.code === "approval_required") throw error;
      if (targets.length === 1 || !(error instanceof MidctlError)) throw error;
      results.push(failed(target, error));
    }
    context.standBy(`${results.length} of ${targets.length} were done, and stay so`);
  }
  const document = { results };
  return results.some((result) => result.error !== null) ? { document, exit: 8 } : { document };
}

/**
 * Under --break-glass: the signed statement of what is done, and by which request each target is then changed. Null where
 * that was not asked for.
 */
async function breakGlass(
  db: Database,
  targets: readonly Target[],
  context: VerbContext,
  verb: ControlVerb,
): Promise<((target: Target) => Partial<Request>) | null> {
  const { breakGlass: asked, ticket } = verb.gate;
  if (asked !== true) {
    if (ticket === undefined) return null;
    throw new MidctlError("usage", "--ticket goes with --break-glass; nothing was changed");
  }
  const { openGlass } = await import("./break-glass.ts");
  return openGlass(context, db, verb.gate, ticket, targets, STATUS[verb.name]);
}

/** What an interruption while verifiers are waited for has to say. */
function standing(done: number, of: number): string {
  const stands = of === 1 ? "the change stands" : `${done} of ${of} were done, and stay so`;
  return `${stands}; verifiers were still being waited for`;
}

/** Where the command only requests, there is nothing to confirm yet: owners read the plan. */
async function asksInstead(db: Database, { gate }: ControlVerb): Promise<boolean> {
  return gate.breakGlass !== true && gate.key !== undefined && (await requireEnvironment(db)).protected;
}

async function confirm(targets: readonly Target[], context: VerbContext, verb: ControlVerb): Promise<void> {
  const [first, ...others] = targets;
  if (first === undefined || (!verb.confirm && others.length === 0)) return;
  const name = first.reference.kind === "identity" ? first.reference.slug : first.title.split(" ")[0];
  await context.confirm(
    others.length === 0
      ? { action: `${verb.name} ${first.title}`, name: name ?? verb.name }
      : { action: `${verb.name} ${targets.length} targets`, name: `${verb.name} ${targets.length}` },
  );
}

function failed(target: Target, error: MidctlError): Result {
  const { reference } = target;
  return {
    ref:
      reference.kind === "identity"
        ? reference.slug
        : `${reference.kind === "credential" ? "mc" : "at"}_${reference.publicId}`,
    kind: reference.kind === "approval" ? "token" : reference.kind,
    changed: false,
    status: null,
    effectiveStatus: null,
    letGo: null,
    error: { code: error.code, message: error.message, hint: error.hint },
  };
}
