/** How far something long has come: a bar for a person, a line of JSON for a program; always on stderr. */

export interface ProgressStep {
  /** What is under way, for programs. */
  readonly campaign?: string;
  readonly done: number;
  readonly failed: number;
  readonly of: number;
}

/** Columns of the bar at most. */
const WIDEST = 40;

/** `[=====     ] 120 of 200, 3 failed`, no wider than the terminal. */
export function progressAsBar({ done, failed, of }: ProgressStep, columns: number): string {
  const said = ` ${done} of ${of}${failed === 0 ? "" : `, ${failed} failed`}`;
  const width = Math.min(WIDEST, columns - said.length - 3);
  if (width < 1) return said.trim().slice(0, columns - 1);
  const filled = of === 0 ? width : Math.floor((width * done) / of);
  return `[${"=".repeat(filled)}${" ".repeat(width - filled)}]${said}`;
}

/** One line `{"progress":{…}}`. */
export function progressAsJson(step: ProgressStep): string {
  return `${JSON.stringify({ progress: step })}\n`;
}
