/** The head file of the commands that verify: where the highest head of the log that was seen is kept. */
import { type HeadFile, headFile } from "../operations/verifier/head-file.ts";
import type { VerbContext } from "./context.ts";
import type { OptionSpec } from "./verb.ts";

export const headFileOption = {
  value: "PATH",
  summary: "keep the highest head of the log here, and refuse a database that is behind it",
} as const satisfies OptionSpec;

/** The file that option, environment or context name; null where none does. */
export function openHeadFile(option: string | undefined, context: VerbContext): HeadFile | null {
  const path = option ?? context.settings.headFile.value;
  return path === null ? null : headFile(path);
}
