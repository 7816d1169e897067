/** What a host hands in, judged by the same rules of `domain` as the words of a command line. */
import * as z from "zod/mini";
import { checkDuration, type DurationLimits } from "../domain/duration.ts";
import { MidctlError } from "../domain/errors.ts";
import { checkLabels } from "../domain/labels.ts";
import {
  parseActor,
  parseCredentialName,
  parseDisplayName,
  parseOwner,
  parseProvider,
  parseReason,
  parseThreadId,
  parseWorkspace,
} from "../domain/names.ts";
import { parseReference } from "../domain/reference.ts";
import { parseScope, parseScopes } from "../domain/scope.ts";
import { parseSlug, suggest } from "../domain/slug.ts";
import { quote } from "../domain/visible.ts";
import { MAX_GRACE } from "./credential-rotate.ts";
import type { IdentitySpec } from "./identity-create.ts";

/** A value that a function of `domain` reads; what that throws as `usage` becomes the problem of its field. */
function readBy<Raw, Value>(raw: z.ZodMiniType<Raw>, read: (raw: Raw) => Value) {
  return z.pipe(
    raw,
    z.transform((value: Raw, context): Value => {
      try {
        return read(value);
      } catch (error) {
        if (!(error instanceof MidctlError) || error.code !== "usage") throw error;
        context.issues.push({
          code: "custom",
          message: error.message,
          params: { hint: error.hint },
          input: value,
        });
        return z.NEVER;
      }
    }),
  );
}

const text = <Value>(read: (text: string) => Value) => readBy(z.string("A string is expected."), read);

const seconds = (limits?: DurationLimits) => readBy(z.unknown(), (value) => checkDuration(value, limits));

/** An object that has these fields and no others: a misspelt one would quietly be a default. */
function fields<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const names = Object.keys(shape);
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== "unrecognized_keys") return "An object is expected.";
      const [unknown = ""] = issue.keys;
      const meant = suggest(unknown, names);
      const advice = meant === null ? `there are ${names.join(", ")}.` : `did you mean ${meant}?`;
      return `There is no field ${quote(unknown)}; ${advice}`;
    },
  });
}

const labels = readBy(
  z.record(z.string(), z.string("A string is expected."), "An object of strings is expected."),
  checkLabels,
);

const identitySpec = readBy(
  fields({
    slug: text(parseSlug),
    owner: text(parseOwner),
    kind: z.nullish(z.enum(["service", "thread"], 'It is "service" or "thread".')),
    provider: z.nullish(text(parseProvider)),
    threadId: z.nullish(text(parseThreadId)),
    displayName: z.nullish(text(parseDisplayName)),
    labels: z.nullish(labels),
    parent: z.nullish(text(parseSlug)),
    workspace: z.nullish(text(parseWorkspace)),
    expiresIn: z.nullish(seconds()),
    idleTtl: z.nullish(seconds()),
  }),
  (given): IdentitySpec => {
    const { provider = null, threadId = null } = given;
    const kind = given.kind ?? (threadId === null ? "service" : "thread");
    const isThread = kind === "thread";
    if ((provider !== null) !== isThread || (threadId !== null) !== isThread) {
      throw new MidctlError("usage", "A thread has both provider and threadId, a service neither.");
    }
    return {
      slug: given.slug,
      kind,
      provider,
      threadId,
      owner: given.owner,
      displayName: given.displayName ?? null,
      labels: given.labels ?? null,
      parent: given.parent ?? null,
      workspace: given.workspace ?? null,
      expiresIn: given.expiresIn ?? null,
      idleTtl: given.idleTtl ?? null,
    };
  },
);

const slug = text(parseSlug);

/** Told apart before it is judged: of a union only "no option fits" would be known. */
const identity = z.pipe(
  z.unknown(),
  z.transform((value, context): string | IdentitySpec => {
    if (typeof value !== "string" && (typeof value !== "object" || value === null)) {
      context.issues.push({ code: "custom", message: "A slug or an object is expected.", input: value });
      return z.NEVER;
    }
    const result = z.safeParse(typeof value === "string" ? slug : identitySpec, value);
    if (result.success) return result.data;
    for (const { message, path, ...issue } of result.error.issues) {
      const params = issue.code === "custom" ? (issue.params ?? {}) : {};
      context.issues.push({ code: "custom", message, path, params, input: value });
    }
    return z.NEVER;
  }),
);

const claim = { actor: text(parseActor), reason: z.nullish(text(parseReason)) };

const issuanceFields = {
  ...claim,
  name: z.optional(text(parseCredentialName)),
  scopes: z.optional(readBy(z.array(text(parseScope), "A list of strings is expected."), parseScopes)),
  expiresIn: z.optional(
    readBy(z.unknown(), (value): number | "never" => (value === "never" ? value : checkDuration(value))),
  ),
  activateWithin: z.optional(seconds()),
};

export const issuanceInput = fields({ identity, ...issuanceFields });

export const rotationInput = fields({
  identity: slug,
  ...issuanceFields,
  grace: z.optional(seconds({ atLeast: 0, atMost: MAX_GRACE })),
});

export const controlInput = fields({
  ref: text((ref) => {
    parseReference(ref);
    return ref;
  }),
  ...claim,
});

/**
 * What was handed in, read once: whatever its getters say later is not asked.
 * @param undone what did not happen, for the message
 * @throws MidctlError `usage` that names the field
 */
export function readHostInput<Value>(schema: z.ZodMiniType<Value>, given: unknown, undone: string): Value {
  const result = z.safeParse(schema, given);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const field = nameOf(issue?.path ?? []);
  const hint: unknown = issue?.code === "custom" ? issue.params?.hint : null;
  throw new MidctlError(
    "usage",
    `${field}${issue?.message} ${undone}.`,
    typeof hint === "string" ? { hint } : {},
  );
}

/** `identity.labels.team: `, `scopes[0]: `. */
function nameOf(path: readonly PropertyKey[]): string {
  const name = path
    .map((key) => (typeof key === "number" ? `[${key}]` : `.${quoteKey(String(key))}`))
    .join("")
    .replace(/^\./, "");
  return name === "" ? "" : `${name}: `;
}

const quoteKey = (key: string) => (/^\w{1,63}$/.test(key) ? key : quote(key));
