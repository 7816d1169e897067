/** What a runbook may say. docs/runbooks/schema.json is made from this, so that editors check one while it is written. */
import * as z from "zod/mini";
import { DURATION_PATTERN } from "../domain/duration.ts";

const tell = <T extends z.core.$ZodType>(schema: T, description: string): T => {
  z.globalRegistry.add(schema, { description });
  return schema;
};
const text = (description: string) => tell(z.string().check(z.minLength(1)), description);
const duration = (description: string) => tell(z.string().check(z.regex(DURATION_PATTERN)), description);
const count = (atLeast: number, description: string) =>
  tell(z.int().check(z.minimum(atLeast), z.maximum(999_999)), description);

const select = z.strictObject({
  all: tell(z.optional(z.literal(true)), "All identities there are."),
  identities: tell(z.optional(z.array(z.string()).check(z.minLength(1))), "These, by slug."),
  labels: tell(z.optional(z.record(z.string(), z.string())), "All that have every one of these labels."),
  owner: tell(z.optional(z.string()), "All of this owner."),
  provider: tell(z.optional(z.string()), "All threads of this provider."),
  expiringWithin: z.optional(duration("All that end so soon.")),
  unusedFor: z.optional(duration("All that were not used for so long.")),
});

const credential = z.strictObject({
  name: z.optional(text("Which of an identity's credentials; default: default.")),
  scopes: tell(z.optional(z.array(z.string())), "What the new ones may do; default: what the old ones may."),
  expires: z.optional(text("Life of the new ones: a duration, or never; default: 90d.")),
  activateWithin: z.optional(duration("Time for the first use; default: 24h.")),
  replacePending: tell(z.optional(z.boolean()), "Whether a pending one that nobody has used gives way."),
});

const delivery = z.strictObject({
  files: z.optional(
    text("A directory that is there, or a path with {slug}, {name}, {provider}, {thread}, {label.KEY}."),
  ),
  command: z.optional(text("Run for each, its secret on standard input. No shell.")),
  stage: z.optional(text("With a command: the directory in which secrets wait; needed where protected.")),
  timeout: z.optional(duration("For each command; default: 30s.")),
});

/** Version 1. */
export const runbookSchema = z.strictObject({
  version: tell(z.literal(1), "Of this format."),
  name: tell(
    z.string().check(z.regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/)),
    "What the log and receipts call it.",
  ),
  description: z.optional(text("For people.")),
  parameters: tell(
    z.optional(z.record(z.string().check(z.regex(/^[a-z][a-zA-Z0-9]{0,31}$/)), z.string())),
    "Names that ${NAME} stands for in select and reason, each with what it is; given by --set NAME=VALUE.",
  ),
  select: tell(
    select,
    "Whose credentials are rotated: all, or identities by name, or all that fit the rest.",
  ),
  credential: tell(z.optional(credential), "The new credentials."),
  grace: z.optional(
    duration("How long an old one lives on after the first use of the new; default: 1h, at most 24h."),
  ),
  compromised: tell(
    z.optional(z.boolean()),
    "Ends every live credential of the name at once, before any proof.",
  ),
  delivery: tell(delivery, "Where the secrets go: to files, or to a command."),
  batches: tell(
    z.optional(
      z.strictObject({
        size: z.optional(count(1, "So many between two health checks; default: 50.")),
        pause: z.optional(duration("Between two batches; default: none.")),
      }),
    ),
    "How fast it goes.",
  ),
  health: tell(
    z.optional(
      z.strictObject({
        command: text("Run between two batches; anything but exit 0 stops."),
        timeout: z.optional(duration("Default: 30s.")),
      }),
    ),
    "What is asked between two batches.",
  ),
  abort: tell(
    z.optional(z.strictObject({ failures: count(0, "Stop when more than so many failed; default: 0.") })),
    "When it gives up.",
  ),
  proof: tell(
    z.optional(z.strictObject({ within: duration("Wait so long until every new secret has been used.") })),
    "Whether it waits for first uses.",
  ),
  reason: z.optional(text("For the log; --reason says another.")),
});
export type Runbook = z.infer<typeof runbookSchema>;

/** The JSON Schema of a runbook file. */
export function runbookJsonSchema(): Readonly<Record<string, unknown>> {
  const { $schema, ...own } = z.toJSONSchema(runbookSchema, { io: "input" });
  return { $schema, $id: "midctl/runbooks/schema.json", title: "midctl runbook", ...own };
}
