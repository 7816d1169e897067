/** What pause, resume and revoke share: targets read first, confirmed once, then one transaction each. */
import * as z from "zod/mini";
import type { Database } from "../db/database.ts";
import { readSqlState } from "../db/failure.ts";
import { MidctlError } from "../domain/errors.ts";
import { formatReference } from "../domain/reference.ts";
import type { Request } from "../operations/change.ts";
import { type Controlled, parseTarget, type Target } from "../operations/control.ts";
import { awaitLetGo, type LetGo } from "../operations/let-go.ts";
import { requireEnvironment } from "../operations/lookup.ts";
import { type ControlSelection, fitsAnybody, selectTargets } from "../operations/select-targets.ts";
import type { VerbContext } from "./context.ts";
import { letGoSchema } from "./documents.ts";
import { type GateWords, gated } from "./gate.ts";
import { requestFrom } from "./request.ts";
import { readWho, type SelectionWords } from "./selection.ts";
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
  /** What the targets are, for the question; default: targets. */
  readonly what?: string;
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

/** Somebody fits, and nobody of these can be changed. */
const NOBODY_LEFT = {
  pause: "Nobody of this selection is active any more",
  resume: "Nobody of this selection is paused on its own",
  revoke: "All of this selection are revoked already",
} as const;

type Control = (db: Database, request: Request, target: Target) => Promise<Controlled>;

/** What `pause`, `resume` and `revoke` are given beside their own words. */
export const targetArgument = {
  name: "ref",
  summary:
    "a slug, mc_… or at_…; several at once are confirmed; - for those on standard input, one to a line",
  variadic: true,
  optional: true,
  complete: "identity",
} as const;

/** Who is meant; asked for where nobody was named. */
export async function readControlSelection(
  refs: readonly string[],
  words: SelectionWords,
  context: VerbContext,
): Promise<ControlSelection> {
  const who = await readWho(refs, words, context, parseTarget);
  if (who !== null) return who;
  const ref = await context.ask({
    name: "REF",
    summary: "a slug, mc_… or at_…",
    hint: "or - for standard input, --label, --owner, …, --all",
  });
  return { refs: [ref] };
}

/** Reads all targets before anything is done, so that a mistyped one stops the whole command. */
export async function controlSelection(
  refs: readonly string[],
  words: SelectionWords,
  context: VerbContext,
  verb: ControlVerb,
  control: Control,
): Promise<Outcome<ControlledDocument>> {
  const selection = await readControlSelection(refs, words, context);
  const db = await context.database();
  const status = STATUS[verb.name];
  const targets = await selectTargets(db, selection, status);
  if ("refs" in selection) {
    return controlTargets(
      db,
      targets,
      context,
      { ...verb, confirm: verb.confirm || refs.includes("-") },
      control,
    );
  }
  const outcome = await controlTargets(
    db,
    targets,
    context,
    { ...verb, confirm: true, what: "identities" },
    control,
  );
  if (targets.length === 0) {
    const fits = await fitsAnybody(db, selection.filter);
    context.notice(
      `${fits ? NOBODY_LEFT[verb.name] : "No identity fits this selection"}; nothing was changed.`,
    );
  }
  return outcome;
}

/**
 * One transaction for each target. One that fails is the command's error; some of many are results, and exit 8. Of many the
 * verifiers are waited for once, after the last.
 */
export async function controlTargets(
  db: Database,
  targets: readonly Target[],
  context: VerbContext,
  verb: ControlVerb,
  control: Control,
): Promise<Outcome<ControlledDocument>> {
  if (targets.length > 0 && !(await asksInstead(db, verb))) await confirm(targets, context, verb);
  const many = targets.length !== 1;
  const request: Request = {
    ...requestFrom(context),
    noWait: many || verb.noWait === true,
    onCommitted: () => context.standBy(standing(1, 1)),
  };
  const results: Result[] = [];
  let done = 0;
  const envelope = await breakGlass(db, targets, context, verb);
  for (const [index, target] of targets.entries()) {
    const run = (claimed: Request) =>
      control(db, { ...request, ...claimed, ...(envelope?.(target) ?? {}) }, target);
    try {
      const rest = context.dryRun ? [target] : targets.slice(index);
      const draft = async () =>
        (await import("../operations/approval/draft.ts")).draftControls(db, rest, STATUS[verb.name]);
      const controlled = await gated(context, db, verb.gate, { action: verb.name, draft, run });
      results.push({ ...controlled, error: null });
      done++;
    } catch (error) {
      if (error instanceof MidctlError && error.code === "approval_required") throw error;
      if (!many || !(error instanceof MidctlError)) throw error;
      if (stopsAll(error)) throw lost(error, target, done, targets.length);
      results.push(failed(target, error));
    }
    context.standBy(
      context.dryRun ? "nothing was changed" : `${done} of ${targets.length} were done, and stay so`,
    );
    if (results.length % TELL_EVERY === 0) {
      context.progress({ done, failed: results.length - done, of: targets.length });
    }
  }
  const letGo = many ? await waitForAll(db, context, verb, done, targets.length) : null;
  const document = {
    results:
      letGo === null
        ? results
        : results.map((result) => (result.error === null ? { ...result, letGo } : result)),
  };
  return results.some((result) => result.error !== null) ? { document, exit: 8 } : { document };
}

/** Between two words on how far it has come. */
const TELL_EVERY = 1_000;

/**
 * Waits until every verifier has let go of all that was changed; null where nobody is waited for. Also where nothing was left to
 * change: whoever made it so may be waiting still, or was interrupted.
 */
async function waitForAll(
  db: Database,
  context: VerbContext,
  verb: ControlVerb,
  done: number,
  of: number,
): Promise<LetGo | null> {
  if (verb.name === "resume" || verb.noWait === true || context.dryRun || (done === 0 && of > 0)) return null;
  if (of > 0) context.standBy(standing(done, of));
  try {
    return await awaitLetGo(db);
  } catch (cause) {
    throw new MidctlError(
      "unavailable",
      `${done} of ${of} were done, and stay so; but the database was lost before every verifier was seen to let go.`,
      { hint: AGAIN, details: { done, of }, cause },
    );
  }
}

const AGAIN =
  "Run the command again: what was done stays as it is, the rest is done, and verifiers are waited for.";

/** What is about one transaction alone; whatever else is unavailable would be so for all that follow. */
const OF_ONE: ReadonlySet<string | null> = new Set(["40001", "40P01", "55P03", "57014"]);

function stopsAll(error: MidctlError): boolean {
  return error.code === "unavailable" && !OF_ONE.has(readSqlState(error));
}

function lost(error: MidctlError, { reference }: Target, done: number, of: number): MidctlError {
  return new MidctlError(
    "unavailable",
    `${done} of ${of} were done, and stay so; at ${formatReference(reference)}: ${error.message}`,
    { hint: AGAIN, details: { ...error.details, done, of }, cause: error },
  );
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
      : {
          action: `${verb.name} ${targets.length} ${verb.what ?? "targets"}`,
          name: `${verb.name} ${targets.length}`,
        },
  );
}

function failed({ reference }: Target, error: MidctlError): Result {
  return {
    ref: formatReference(reference),
    kind: reference.kind === "approval" ? "token" : reference.kind,
    changed: false,
    status: null,
    effectiveStatus: null,
    letGo: null,
    error: { code: error.code, message: error.message, hint: error.hint },
  };
}
