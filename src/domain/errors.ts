/**
 * The one error type of midctl. A message says what happened and what did not happen; the hint says what to
 * do next. Neither ever holds a secret or a hash.
 */
export class MidctlError extends Error {
  override readonly name = "MidctlError";
  readonly code: ErrorCode;
  readonly hint: string | null;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint ?? null;
    this.details = options.details ?? {};
  }
}

interface ErrorOptions {
  readonly hint?: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** Every way a use case can fail. `cli/exit.ts` maps each to its exit code (SPEC §6), and nothing else does. */
export type ErrorCode =
  | "internal"
  | "usage"
  | "not_found"
  | "denied"
  | "conflict"
  | "illegal_transition"
  | "approval_required"
  | "unavailable"
  | "schema_version"
  | "partial"
  | "undeliverable"
  | "interrupted";
