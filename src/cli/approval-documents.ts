/** What the commands of `approval` share: shapes, arguments, options. */
import * as z from "zod/mini";
import { MidctlError } from "../domain/errors.ts";
import { parseReference } from "../domain/reference.ts";
import { readWith } from "./parse.ts";

export const approvalSchema = z.object({
  id: z.string(),
  digest: z.string(),
  action: z.string(),
  requester: z.string(),
  quorum: z.number(),
  breakGlass: z.boolean(),
  status: z.enum([
    "open",
    "approved",
    "rejected",
    "cancelled",
    "executed",
    "superseded",
    "expired",
    "uncountersigned",
    "countersigned",
  ]),
  lines: z.number(),
  done: z.number(),
  superseded: z.number(),
  requestedAt: z.string(),
  approveBy: z.string(),
  executeBy: z.string(),
  endedAt: z.nullable(z.string()),
});

export type ApprovalDocument = z.infer<typeof approvalSchema>;

export const approvalArgument = {
  name: "ref",
  summary: "the approval, ap_…",
  schema: readWith(parseApprovalReference),
} as const;

export function parseApprovalReference(text: string): string {
  const reference = parseReference(text);
  if (reference.kind === "approval") return text;
  throw new MidctlError("usage", `${text} is no approval`, { hint: "midctl approval list names them: ap_…" });
}

/** An approval, or the file of a plan that no database keeps. */
export const approvalOrFile = {
  name: "ref",
  summary: "the approval, ap_…; or the file of a plan that upgrades the schema or takes it away",
  schema: readWith((text) => (isPlanFile(text) ? text : parseApprovalReference(text))),
} as const;

/** Whether words name a file: no reference has a dot or a slash. */
export function isPlanFile(text: string): boolean {
  return /[./]/.test(text);
}
