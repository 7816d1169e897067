/** The last head of a log that whoever approves here saw: a file for each database, in `$XDG_STATE_HOME/midctl/heads`. */
import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { makeDirectory } from "../db/directory.ts";
import { originOf } from "../domain/checkpoint.ts";
import { MidctlError } from "../domain/errors.ts";
import { type KeptHead, writeKeptHead } from "../domain/kept-head.ts";
import { headFile, requireHead } from "../operations/verifier/head-file.ts";
import type { VerbContext } from "./context.ts";

export interface SeenHead {
  readonly path: string;
  readonly head: KeptHead | null;
}

/** @throws MidctlError `usage` for a file that cannot be read or holds something else, `conflict` for another log's head */
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
  if (text === null) return { path, head: null };
  const head = requireHead(text, `The file ${path}`, "nothing was signed");
  const origin = originOf(databaseId);
  if (head.origin !== origin) throw foreign(path, head.origin, origin);
  return { path, head };
}

/** It was put there: what this approver saw of the log is forgotten. */
function foreign(path: string, kept: string, own: string): MidctlError {
  return new MidctlError(
    "conflict",
    `The file ${path}, the last head of the log that you saw, is of another log (${kept}, and this is ${own}); nothing was signed.`,
    {
      hint: `Put back what you had there, from a backup of your own. Where there is none, hold the log against checkpoints that were kept elsewhere (midctl audit verify --checkpoint FILE), move the file away, and approve again: then the log is believed as it is found.`,
    },
  );
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
