import { type ErrorCode, MidctlError } from "../domain/errors.ts";

/** What is wrong with a line. */
export interface LineFailure {
  readonly line: number;
  readonly code: ErrorCode;
  readonly message: string;
}

/** So many failures are told one by one; the rest are counted. */
export const MOST_FAILURES = 1_000;

/** What is wrong, each line once. */
export class Failures {
  readonly #told: LineFailure[];
  total: number;

  constructor(from?: Failures) {
    this.#told = from === undefined ? [] : [...from.#told];
    this.total = from?.total ?? 0;
  }

  add(failure: LineFailure): void {
    this.total++;
    if (this.#told.length < MOST_FAILURES) this.#told.push(failure);
  }

  /** In the order of the file; at most `MOST_FAILURES`. */
  get told(): LineFailure[] {
    return this.#told.toSorted((a, b) => a.line - b.line);
  }
}

/** One error for all lines that cannot be imported: with the code of the gravest, and each with its number. */
export function refuseImport(failures: Failures, total: number): MidctlError {
  const { told } = failures;
  const code =
    (["usage", "conflict", "not_found"] as const).find((grave) => told.some((each) => each.code === grave)) ??
    "usage";
  return new MidctlError(
    code,
    `${failures.total} of ${total} line${total === 1 ? "" : "s"} cannot be imported; nothing was imported.`,
    {
      hint: "Mend these lines, or leave them out with --keep-going, and import again.",
      details: { failed: told, failedTotal: failures.total, lines: total },
    },
  );
}
