import * as z from "zod/mini";
import { MidctlError } from "../../domain/errors.ts";
import { createAuthenticator } from "../../operations/authenticate.ts";
import { headFileOption, openHeadFile } from "../head.ts";
import { endInOrder } from "../interruption.ts";
import { readToken } from "../token-input.ts";
import { followTrustRoot } from "../trust.ts";
import { defineVerb } from "../verb.ts";
import { midctlVersion } from "../version.ts";

export const mcp = defineVerb({
  path: ["mcp"],
  summary: "Speak the Model Context Protocol with one local client, over standard input and output",
  description:
    "The client's token comes from a token file, named by --token-file or MIDCTL_TOKEN_FILE. Ends when the client closes standard input. Agents elsewhere use /mcp of `midctl serve`.",
  examples: [
    { command: "MIDCTL_TOKEN_FILE=./token midctl mcp --stdio", does: "as a client's configuration has it" },
  ],
  options: {
    stdio: { summary: "over standard input and output: there is no other way yet, so it has to be said" },
    headFile: headFileOption,
    tokenFile: { value: "PATH", summary: "the client's token file; default: MIDCTL_TOKEN_FILE" },
  },
  // Standard output belongs to the protocol.
  output: z.object({}),
  async run({ stdio, headFile, tokenFile }, context) {
    if (!stdio) {
      throw new MidctlError("usage", "mcp has to be told how it speaks; nothing was done", {
        hint: "midctl mcp --stdio, or midctl serve for Streamable HTTP at /mcp",
      });
    }
    const file = tokenFile ?? (context.env.MIDCTL_TOKEN_FILE || undefined);
    if (file === undefined) {
      throw new MidctlError("usage", "no token file is named; nothing was done", {
        hint: "--token-file PATH, or MIDCTL_TOKEN_FILE: standard input belongs to the protocol",
      });
    }
    const token = await readToken(context, file);
    const trust = followTrustRoot(context);
    const [{ startStdio }, db] = await Promise.all([import("../../server/stdio.ts"), context.database()]);
    const head = openHeadFile(headFile, context);
    const authenticator = createAuthenticator({
      db,
      ...(trust === null ? {} : { trust }),
      ...(head === null ? {} : { head }),
    });
    const session = await startStdio({
      input: process.stdin,
      output: process.stdout,
      db,
      authenticator,
      token,
      version: midctlVersion,
    });
    endInOrder(() => void session.close());
    return {
      begun: null,
      async until() {
        try {
          await session.over;
        } finally {
          await authenticator.close();
          await db.close();
        }
      },
    };
  },
  view: () => [],
});
