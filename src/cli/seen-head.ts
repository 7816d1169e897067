/** The last head of a log that whoever approves here saw: a file for each database, in `$XDG_STATE_HOME/midctl/heads`. */
import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { makeDirectory } from "../db/directory.ts";
import { MidctlError } from "../domain/errors.ts";
import { type KeptHead, writeKeptHead } from "../domain/kept-head.ts";
import { headFile, requireHead } from "../operations/verifier/head-file.ts";
import type { VerbContext } from "./context.ts";

export interface SeenHead {
  readonly path: string;
  readonly head: KeptHead | null;
}

/** @throws MidctlError `usage` for a file that cannot be read or holds something else */
export async function readSeenHead({ env }: VerbContext, databaseId: string): Promise<SeenHead> {
  const given = env.XDG_STATE_HOME ?? "";
  const home = env.HOME ?? homedir();
  const path = join(isAbsolute(given) ? given : join(home, ".local/state"), "midctl/heads", databaseId);
  const text = await headFile(path)
    .read()
    .catch(() => {
      throw new MidctlError(
        "usage",
        `the file ${path}, the last head of the log that you saw, cannot be read; nothing was signed`,
        { hint: "make it a file of your own, or set XDG_STATE_HOME to where it is" },
      );
    });
  return { path, head: text === null ? null : requireHead(text, `The file ${path}`, "nothing was signed") };
}

/** What cannot be kept is said, and the approval stands. */
export async function keepSeenHead(context: VerbContext, { path }: SeenHead, head: KeptHead): Promise<void> {
  try {
    makeDirectory(dirname(path), (each) => mkdirSync(each, 0o700));
    await headFile(path).write(writeKeptHead(head));
  } catch {
    context.notice(
      `The log's head is not remembered for your next approval: the file ${path} cannot be written.`,
    );
  }
}
