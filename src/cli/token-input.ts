import { MidctlError } from "../domain/errors.ts";
import type { Token } from "../domain/token.ts";
import { quote } from "../domain/visible.ts";
import type { VerbContext } from "./context.ts";
import { openTokenFile } from "./token-file.ts";

/** More than any token: the longest legacy one has 512 bytes. */
const LIMIT = 4_096;

/**
 * One token from standard input, or from a token file. Never from argv. On a terminal nothing is read blindly: the
 * secret would be echoed.
 */
export async function readToken(context: VerbContext, tokenFile?: string): Promise<string> {
  if (tokenFile !== undefined) {
    const token = readTokenFile(tokenFile);
    if (token === null)
      throw new MidctlError("usage", `there is no token file ${tokenFile}; nothing was done`);
    return token.text;
  }
  if (context.terminal.stdinIsTerminal) {
    throw new MidctlError(
      "usage",
      "the token is read from standard input, which is a terminal that would show it; nothing was done",
      {
        hint: "redirect it: midctl … < FILE",
      },
    );
  }
  const text = (await context.terminal.readInput(LIMIT)).replace(/\r?\n$/, "");
  if (text === "")
    throw new MidctlError("usage", "standard input is empty: the token is read from there; nothing was done");
  return text;
}

/** Under the conditions of a file that is written, told in a reader's words. */
function readTokenFile(file: string): Token | null {
  try {
    return openTokenFile(file).existing;
  } catch (error) {
    if (!(error instanceof MidctlError) || error.code === "usage") throw error;
    const why = error.message
      .replace(" exists and is not used:", " is not read:")
      .replaceAll("written", "read");
    throw new MidctlError("usage", why, {
      hint: `A token is read from a regular file of your own, mode 0600, with nothing else in it: chmod 600 ${quote(file)}`,
    });
  }
}
