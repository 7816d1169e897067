import { parseToken } from "../../src/domain/token.ts";
import type { Result } from "./command.ts";
import type { Step } from "./steps.ts";

/** What a command's document says, where one was printed whole; else null. */
export function parseDocument(result: Result): Record<string, unknown> | null {
  if (!result.stdout.endsWith("\n")) return null;
  try {
    const document: unknown = JSON.parse(result.stdout);
    return typeof document === "object" ? (document as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** The error of a command that ran with --json: its last line on stderr; else null. */
export function parseError(
  result: Result,
): { readonly code: string; readonly details: Record<string, unknown> } | null {
  try {
    const line = result.stderr.trimEnd().split("\n").at(-1) ?? "";
    return (JSON.parse(line) as { error: { code: string; details: Record<string, unknown> } }).error;
  } catch {
    return null;
  }
}

/** Secrets that came by stdout, whether or not the command lived to its end. */
export function receivedTokens(step: Step, result: Result): string[] {
  if (step.delivery === "json") {
    const token = parseDocument(result)?.token;
    return typeof token === "string" ? [token] : [];
  }
  const token = step.delivery === "stdout" ? parseToken(result.stdout.trimEnd()) : null;
  return token === null ? [] : [token.text];
}

/** Exit 0, or an answer that came whole before the kill. */
export function isAcknowledged(step: Step, result: Result): boolean {
  return result.code === 0 || parseDocument(result) !== null || receivedTokens(step, result).length > 0;
}
