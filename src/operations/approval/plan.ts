/** What a plan is (SPEC §9): canonical JSON in which every field is there and none is unknown. */
import * as z from "zod/mini";
import { ROLES } from "../../db/rights.ts";
import { canonicalText, parseCanonical } from "../../domain/canonical.ts";
import { MidctlError } from "../../domain/errors.ts";
import { digestOf } from "../../domain/plan.ts";
import { MAX_GRACE } from "../credential-rotate.ts";

const text = z.string();
const instant = z.string().check(
  z.regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
  // A day that there is: 31 February would be read as another.
  z.refine((written) => new Date(written).toJSON() === written),
);
const hex = z.string().check(z.regex(/^[0-9a-f]{64}$/));
const publicId = z.string().check(z.regex(/^[0-9A-Za-z]{12}$/));
const credentialId = z.string().check(z.regex(/^mc_[0-9A-Za-z]{12}$/));
const count = z.int().check(z.nonnegative());

/** The identity that a line is about. */
const identity = z.strictObject({
  slug: text,
  publicId,
  /** As it was when the plan was made; null for one that the line itself makes. */
  version: z.nullable(count),
});

/** The credential or legacy token that a line is about. */
const credential = z.strictObject({
  id: z.string().check(z.regex(/^(?:mc_[0-9A-Za-z]{12}|at_[0-9A-Za-z_-]{1,12})$/)),
  version: z.nullable(count),
});

/** What verifiers go by. */
const token = z.strictObject({
  /** `commitToHash` of what it is kept as. */
  secret: hex,
  scopes: z.array(text),
  notAfter: instant,
});

const creation = z.strictObject({
  kind: z.enum(["service", "thread"]),
  provider: z.nullable(text),
  threadId: z.nullable(text),
  displayName: text,
  owner: text,
  labels: z.record(text, text),
  parent: z.nullable(text),
  workspace: z.nullable(text),
  expiresAt: z.nullable(instant),
  /** Seconds. */
  idleTtl: z.nullable(count),
});

/** Of which kind a line is decides what else it says; all have these three, so that verifiers need know no more. */
function line<Name extends string, Shape extends z.core.$ZodLooseShape>(name: Name, shape: Shape) {
  return z.strictObject({ do: z.literal(name), ...shape });
}
const none = z.null();
/** On one thing: a credential, or an identity as a whole. */
const control = {
  credential: z.nullable(credential),
  identity: z.nullable(identity),
  token: none,
  from: text,
};

const lines = z.discriminatedUnion("do", [
  line("identity.create", { identity, credential: none, token: none, create: creation }),
  line("identity.update", {
    identity,
    credential: none,
    token: none,
    /** null: as it is. Labels are the whole new set. */
    set: z.strictObject({
      displayName: z.nullable(text),
      owner: z.nullable(text),
      labels: z.nullable(z.record(text, text)),
      expiresAt: z.nullable(instant),
      idleTtl: z.nullable(count),
    }),
  }),
  line("credential.issue", {
    identity,
    credential,
    token,
    create: z.nullable(creation),
    name: text,
    /** Seconds from execution to the first use. */
    activateWithin: count,
    /** Abandoned in its favour. */
    replacesPending: z.nullable(credentialId),
  }),
  line("credential.rotate", {
    identity,
    credential,
    token,
    name: text,
    activateWithin: count,
    replaces: credential,
    replacesPending: z.nullable(credentialId),
    /** Seconds. */
    grace: count.check(z.maximum(MAX_GRACE)),
    /** What ends at once: what was live of this name when the plan was made. Empty unless compromised. */
    revokes: z.array(credentialId),
  }),
  line("pause", control),
  line("resume", control),
  line("revoke", control),
  line("identity.adopt", {
    identity,
    credential,
    token,
    create: z.nullable(creation),
    name: text,
  }),
  line("token.sunset", { identity: none, credential: none, token: none, endsAt: instant }),
  line("environment.protect", {
    identity: z.nullable(identity),
    credential,
    token,
    /** Whether it gets its end by this. */
    shortened: z.boolean(),
  }),
  line("environment.grant", {
    identity: none,
    credential: none,
    token: none,
    role: text,
    roles: z.array(z.enum(ROLES)),
    revoke: z.boolean(),
  }),
  line("db.migrate", {
    identity: none,
    credential: none,
    token: none,
    migrations: z.array(z.strictObject({ name: text, sha256: hex })),
  }),
  line("db.rollback", { identity: none, credential: none, token: none, entries: count }),
]);

const plan = z
  .strictObject({
    v: z.literal(1),
    id: z.string().check(z.regex(/^ap_[0-9A-Za-z]{12}$/)),
    /** What each line does. */
    action: text,
    environment: z.strictObject({ name: text, live: z.boolean(), databaseId: z.uuid() }),
    requester: z.string().check(z.minLength(1)),
    reason: z.nullable(text),
    nonce: z.string().check(z.regex(/^[0-9a-f]{32}$/)),
    requestedAt: instant,
    approveBy: instant,
    executeBy: instant,
    /** The log as it was: its size, the hash of its last entry, and the root of the tree over all, which older plans have not. */
    log: z.strictObject({ size: count, leafHash: z.nullable(hex), root: z.optional(hex) }),
    /** What was done at once and is approved afterwards; null for a plan that waits. */
    breakGlass: z.nullable(z.strictObject({ ticket: text })),
    lines: z.array(lines).check(z.minLength(1)),
  })
  .check(
    // Whoever reads what a plan does has read it of every line.
    z.refine((said) => said.lines.every((each) => each.do === said.action), { path: ["action"] }),
    // Beside a credential an identity would be read, and not looked at: it might be another's.
    z.refine(
      (said) =>
        said.lines.every(
          (each) => !("from" in each) || (each.credential === null) !== (each.identity === null),
        ),
      { path: ["lines"] },
    ),
  );

export type Plan = z.infer<typeof plan>;
export type PlanLine = Plan["lines"][number];
export type LineOf<Name extends PlanLine["do"]> = Extract<PlanLine, { readonly do: Name }>;
export type IdentityTarget = z.infer<typeof identity>;
export type Creation = z.infer<typeof creation>;

/** The bytes that people sign. */
export function writePlan(value: Plan): { readonly text: string; readonly digest: string } {
  const written = canonicalText(plan.parse(value));
  return { text: written, digest: digestOf(written) };
}

/** @throws MidctlError `usage` for what is not canonical, has a field that is missing, unknown or of another kind */
export function readPlan(written: string): Plan {
  const parsed = plan.safeParse(parseCanonical(written));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new MidctlError(
    "usage",
    `This is no plan of this midctl: ${issue?.path.join(".") || "it"} is not as it should be. Nothing was done by this command.`,
    {
      hint: "A plan is the one line that a gated command wrote, unchanged; a newer midctl may say more in it.",
    },
  );
}
