import { MidctlError } from "../domain/errors.ts";
import type { VerbContext } from "./context.ts";
import { readTokenFile } from "./token-file.ts";

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
