import * as z from "zod/mini";
import { grantRoles, ROLES } from "../../operations/db-grant.ts";
import { gated, gateOptions } from "../gate.ts";
import { describePlace } from "../place.ts";
import { defineVerb } from "../verb.ts";
import { viewDbGrant } from "../views/db-grant.ts";
import { placeSchema } from "./status.ts";

export const dbGrantOutput = z.object({
  place: placeSchema,
  changed: z.boolean(),
  name: z.string(),
  roles: z.readonly(z.array(z.enum(ROLES))),
  statements: z.readonly(z.array(z.string())),
});
export type DbGrantDocument = z.infer<typeof dbGrantOutput>;

export const dbGrant = defineVerb({
  path: ["db", "grant"],
  summary: "Give a database role the rights of operator, verifier, auditor or migrator",
  description:
    "For a database role that exists and owns nothing. operator: what the commands do, and neither guards nor log nor environment. verifier: what serve and the library need to decide on tokens; it compares hashes and can read none. auditor: reads everything but hashes. migrator: a member of the role that owns the schema. Roles add up; --revoke takes them away again, with what they had added and nothing else. Where the application's tables have row-level security, a policy for the role is added. Run it as the owner of the schema; --dry-run prints the SQL.",
  examples: [
    { command: "midctl db grant --role verifier midctl_serve", does: "for the role that serve connects as" },
    { command: "midctl db grant --role operator alice --dry-run", does: "the SQL" },
    { command: "midctl db grant --role operator alice --revoke", does: "takes it away again" },
  ],
  args: [{ name: "name", summary: "the database role" }],
  options: {
    role: {
      value: "ROLE",
      summary: `${ROLES.join(", ")}; repeatable`,
      choices: ROLES,
      repeat: true,
      required: true,
    },
    revoke: { summary: "take these roles away instead" },
    ...gateOptions,
  },
  output: dbGrantOutput,
  list: ["statements"],
  changes: true,
  async run({ name, role, revoke, ...words }, context) {
    const db = await context.database();
    const input = { name, roles: role, revoke: revoke === true };
    const granted = await gated(context, db, words, {
      action: "environment.grant",
      draft: async () => [(await import("../../operations/approval/draft.ts")).draftGrant(input)],
      run: (request) => grantRoles(db, request, input),
    });
    return { document: { place: describePlace(context), name, ...granted } };
  },
  view: viewDbGrant,
});
