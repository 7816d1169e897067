/** Colours, decided in one place: chalk itself ignores NO_COLOR and reads `--color` from argv. */
import type { Tone } from "./view.ts";

export type Paint = (text: string, tone: Tone) => string;

/** The colour level (chalk's 0 to 3) of one stream. */
export function colorLevel(
  isTerminal: boolean,
  noColor: boolean,
  env: Readonly<Record<string, string | undefined>>,
): 0 | 1 | 2 | 3 {
  if (!isTerminal || noColor || (env.NO_COLOR ?? "") !== "" || env.TERM === "dumb") return 0;
  if (env.COLORTERM === "truecolor" || env.COLORTERM === "24bit") return 3;
  return env.TERM?.includes("256color") === true ? 2 : 1;
}

/** A painter for that level; chalk is loaded only where there is something to paint. */
export async function createPaint(level: 0 | 1 | 2 | 3): Promise<Paint> {
  if (level === 0) return (text) => text;
  const { Chalk } = await import("chalk");
  const chalk = new Chalk({ level });
  const painters: Readonly<Record<Tone, (text: string) => string>> = {
    good: chalk.green,
    warn: chalk.yellow,
    bad: chalk.red,
    faint: chalk.dim,
    strong: chalk.bold,
  };
  return (text, tone) => painters[tone](text);
}
