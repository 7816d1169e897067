/**
 * The plan of `identity adopt --all`: one line of JSON for each token, which an editor, sed and grep can all work on, and
 * whose errors have a line number.
 */
import fs from "node:fs";
import * as z from "zod/mini";
import { MidctlError } from "../domain/errors.ts";
import { checkLabels } from "../domain/labels.ts";
import { parseCredentialName, parseDisplayName, parseOwner } from "../domain/names.ts";
import { parseReference } from "../domain/reference.ts";
import { parseSlug } from "../domain/slug.ts";
import { quote, visibleJson } from "../domain/visible.ts";
import { type LineProblem, type PlannedAdoption, refuseLines } from "../operations/adoption-apply.ts";
import type { Proposal } from "../operations/adoption-propose.ts";

/** One line. What is not known is refused, so that a mistyped key does not pass as nothing. */
export const proposalSchema = z.strictObject({
  token: z.string(),
  name: z.string(),
  workspace: z.nullable(z.string()),
  lastUsedAt: z.optional(z.nullable(z.string())),
  slug: z.string(),
  displayName: z.string(),
  owner: z.string(),
  labels: z.record(z.string(), z.string()),
  credential: z.optional(z.string()),
});

/** More than a hundred thousand lines are no plan that a person reads. */
const MAX_BYTES = 64 * 1024 * 1024;

/** Writes a new file, synced. Throws `conflict` where there is one, `usage` where there cannot be one. */
export function writePlan(path: string, proposals: readonly Proposal[]): void {
  let descriptor: number;
  try {
    // It names people and what they use: their own business.
    descriptor = fs.openSync(path, "wx", 0o600);
  } catch (error) {
    if (errnoOf(error) === "EEXIST") {
      throw new MidctlError(
        "conflict",
        `${quote(path)} exists and is not overwritten; nothing was written.`,
        {
          hint: "Give --plan a path that does not exist yet, or apply that plan: midctl identity adopt --apply FILE",
        },
      );
    }
    throw unusable(path, error, "written");
  }
  try {
    fs.writeFileSync(
      descriptor,
      proposals.map((proposal) => `${visibleJson(JSON.stringify(proposal))}\n`).join(""),
    );
    fs.fsyncSync(descriptor);
  } catch (error) {
    fs.rmSync(path, { force: true });
    throw unusable(path, error, "written");
  } finally {
    fs.closeSync(descriptor);
  }
}

/**
 * Reads a plan. Throws `usage` that names each line that is not one.
 * @param owner of the lines whose owner is empty
 */
export function readPlan(path: string, owner: string | null): PlannedAdoption[] {
  const lines = readText(path)
    .split(/\r?\n/)
    .map((text, index) => ({ line: index + 1, text }))
    .filter(({ text }) => text.trim() !== "");
  if (lines.length === 0) {
    throw new MidctlError("usage", `${quote(path)} holds no line; nothing was changed.`, {
      hint: "midctl identity adopt --all --plan FILE writes one.",
    });
  }
  const plan: PlannedAdoption[] = [];
  const problems: LineProblem[] = [];
  for (const { line, text } of lines) {
    try {
      plan.push({ line, ...readLine(text, owner) });
    } catch (error) {
      if (!(error instanceof MidctlError)) throw error;
      problems.push({ line, what: error.message.replace(/\.$/, "") });
    }
  }
  if (problems.length === 0) return plan;
  throw refuseLines(
    "usage",
    problems,
    lines.length,
    "Mend these lines, or delete them, and apply again. --owner WHO fills in every owner that is empty.",
  );
}

function readLine(text: string, owner: string | null): Omit<PlannedAdoption, "line"> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new MidctlError("usage", "this is not JSON");
  }
  const parsed = z.safeParse(proposalSchema, json);
  if (!parsed.success) throw new MidctlError("usage", describeIssue(parsed.error.issues[0]));
  const { token, name, workspace, slug, displayName, owner: said, labels, credential } = parsed.data;
  const reference = parseReference(token);
  if (reference.kind !== "token") throw new MidctlError("usage", `${quote(token)} is not a token, at_…`);
  if (said === "" && owner === null) throw new MidctlError("usage", "the owner is empty");
  return {
    token: reference.publicId,
    name,
    workspace,
    slug: parseSlug(slug),
    displayName: parseDisplayName(displayName),
    owner: said === "" && owner !== null ? owner : parseOwner(said),
    labels: checkLabels(labels),
    credential: credential === undefined ? "default" : parseCredentialName(credential),
  };
}

function describeIssue(issue: z.core.$ZodIssue | undefined): string {
  if (issue === undefined) return "this is no line of a plan";
  if (issue.code === "unrecognized_keys") return `there is no ${issue.keys.map(quote).join(", ")} in a plan`;
  if (issue.path.length === 0) return "this is not a JSON object";
  return `${quote(issue.path.map(String).join("."))} is missing, or not what belongs there`;
}

function readText(path: string): string {
  try {
    const descriptor = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    try {
      const stats = fs.fstatSync(descriptor);
      if (!stats.isFile() || stats.size > MAX_BYTES) {
        throw new MidctlError(
          "usage",
          `${quote(path)} is no plan: ${stats.isFile() ? "it is too large" : "it is not a regular file"}; nothing was changed.`,
          {
            hint: "A plan is a file of at most 64 MiB, one line of JSON for each token.",
          },
        );
      }
      return new TextDecoder("utf-8", { fatal: true }).decode(fs.readFileSync(descriptor));
    } finally {
      fs.closeSync(descriptor);
    }
  } catch (error) {
    if (error instanceof TypeError && errnoOf(error) === "ERR_ENCODING_INVALID_ENCODED_DATA") {
      throw new MidctlError("usage", `${quote(path)} is not UTF-8; nothing was changed.`, {
        hint: "Save it as UTF-8.",
      });
    }
    throw unusable(path, error, "read");
  }
}

function unusable(path: string, error: unknown, done: "read" | "written"): MidctlError {
  if (error instanceof MidctlError) return error;
  const code = errnoOf(error);
  if (code === null) throw error;
  return new MidctlError("usage", `${quote(path)} cannot be ${done} (${code}); nothing was changed.`, {
    hint: "Give the path of a file.",
  });
}

function errnoOf(error: unknown): string | null {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return typeof code === "string" ? code : null;
}
