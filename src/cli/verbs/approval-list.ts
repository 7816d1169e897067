import * as z from "zod/mini";
import { MidctlError } from "../../domain/errors.ts";
import { listRequests } from "../../operations/approval/list.ts";
import { approvalSchema, parseApprovalReference } from "../approval-documents.ts";
import { readWith } from "../parse.ts";
import { defineVerb } from "../verb.ts";
import { viewApprovalList } from "../views/approval-list.ts";

export const approvalListOutput = z.object({
  approvals: z.readonly(z.array(approvalSchema)),
  nextCursor: z.nullable(z.string()),
});
export type ApprovalListDocument = z.infer<typeof approvalListOutput>;

const MAX_LIMIT = 500;

export const approvalList = defineVerb({
  path: ["approval", "list"],
  summary: "What waits for an approval or for its execution; with --all everything there ever was",
  examples: [
    { command: "midctl approval list", does: "what is open" },
    { command: "midctl approval list --all --limit 200", does: "history: nothing vanishes" },
  ],
  options: {
    all: { summary: "those that have ended too" },
    limit: {
      value: "N",
      summary: `rows of a page, 1 to ${MAX_LIMIT}; default: 50`,
      default: "50",
      schema: readWith(parseLimit),
    },
    cursor: {
      value: "AP",
      summary: "only those before this one: nextCursor of the page before",
      schema: readWith(parseApprovalReference),
    },
  },
  output: approvalListOutput,
  list: ["approvals"],
  async run({ all, limit, cursor }, context) {
    const page = await listRequests(await context.database(), { open: !all, limit, before: cursor ?? null });
    return { document: { approvals: page.approvals, nextCursor: page.next } };
  },
  view: viewApprovalList,
});

function parseLimit(text: string): number {
  const limit = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= MAX_LIMIT) return limit;
  throw new MidctlError("usage", `a page has 1 to ${MAX_LIMIT} rows`);
}
