import { statSync } from "node:fs";
import * as z from "zod/mini";
import { diagnose, type Finding } from "../../operations/doctor.ts";
import { contextFilePath } from "../contexts.ts";
import { witnessedSchema } from "../documents.ts";
import { describePlace } from "../place.ts";
import { readTrustRoot } from "../trust.ts";
import { defineVerb } from "../verb.ts";
import { viewDoctor } from "../views/doctor.ts";
import { placeSchema } from "./status.ts";

export const doctorOutput = z.object({
  place: placeSchema,
  checks: z.readonly(z.array(z.string())),
  /** null where it was not examined. */
  log: z.nullable(witnessedSchema),
  findings: z.readonly(
    z.array(
      z.object({
        check: z.string(),
        severity: z.enum(["error", "warning", "info"]),
        message: z.string(),
        mend: z.string(),
      }),
    ),
  ),
});
export type DoctorDocument = z.infer<typeof doctorOutput>;

export const doctor = defineVerb({
  path: ["doctor"],
  summary: "Examine guards, schema, log, clock, rights, engine, approvals, legacy tokens and permissions",
  description:
    "Changes nothing. Each finding names the command that mends it. Exit 9 where an error was found; warnings and what is only worth knowing exit 0. With a trust root it says which live tokens of a protected environment no plan covers that is in force under it.",
  examples: [
    { command: "midctl doctor --json", does: "for monitoring" },
    {
      command: "midctl doctor --trust-dir ./trust-next",
      does: "before the trust root is changed: what that would cut off",
    },
  ],
  output: doctorOutput,
  list: ["findings"],
  async run(_input, context) {
    const db = await context.database({ schema: "any" });
    const place = describePlace(context);
    const root = readTrustRoot(context);
    const dir = context.settings.trustDir.value;
    const { checks, findings, log } = await diagnose(db, context.now, {
      embedded: place.kind === "embedded",
      trust: root === null || dir === null ? null : { root, dir },
    });
    const document = {
      place,
      checks: [...checks, "permissions"],
      log,
      findings: [...findings, ...permissionFindings(contextFilePath(context.env))],
    };
    return { document, exit: document.findings.some((finding) => finding.severity === "error") ? 9 : 0 };
  },
  view: viewDoctor,
});

/** The context file names databases and may hold a password: nobody else reads or writes it. */
function permissionFindings(path: string | undefined): Finding[] {
  const mode = path === undefined ? undefined : statSync(path, { throwIfNoEntry: false })?.mode;
  if (path === undefined || mode === undefined || (mode & 0o077) === 0) return [];
  return [
    {
      check: "permissions",
      severity: "warning",
      message: `Others can read ${path}.`,
      mend: `chmod 600 ${path}`,
    },
  ];
}
