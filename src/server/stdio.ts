import type { Readable, Writable } from "node:stream";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import type { Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { readRecentActivity, referenceOf } from "../operations/agent-events.ts";
import type { Authenticator } from "../operations/authenticate.ts";
import type { Accepted } from "../operations/decide.ts";
import { BODY_MAX } from "./body.ts";
import { createMcpServer } from "./mcp.ts";

export interface StdioOptions {
  readonly input: Readable;
  readonly output: Writable;
  readonly db: Tx;
  readonly authenticator: Authenticator;
  /** Decided on anew at every call, so that a pause or revocation is felt at once. */
  readonly token: string;
  readonly version: string;
}

export interface StdioSession {
  /** Resolves when the client has closed its end, or `close` was called. */
  readonly over: Promise<void>;
  close(): Promise<void>;
}

/**
 * Speaks MCP with one local client.
 * @throws MidctlError `denied` where the token is refused at once, `unavailable` where the database cannot be asked
 */
export async function startStdio(options: StdioOptions): Promise<StdioSession> {
  const { input, output, db, authenticator, token, version } = options;
  await requireGood(authenticator, token);
  const underWay = new Set<Promise<unknown>>();
  const server = createMcpServer(version, (request) => {
    const answer = requireGood(authenticator, token)
      .then((decision) => readRecentActivity(db, { token: referenceOf(decision), ...request }))
      .finally(() => underWay.delete(answer));
    underWay.add(answer);
    return answer;
  });
  const close = () => server.close();
  /** What was asked before the end of input is answered: `printf … | midctl mcp --stdio` is a client too. */
  const finish = async () => {
    await new Promise(setImmediate);
    await Promise.allSettled(underWay);
    await new Promise(setImmediate);
    await close();
  };
  const over = new Promise<void>((resolve) => {
    server.server.onclose = resolve;
  });
  input.once("end", finish).once("error", close);
  // The client is gone: there is nobody to tell.
  output.once("error", close);
  await server.connect(new StdioServerTransport(input, output, { maxBufferSize: BODY_MAX }));
  return { over, close };
}

async function requireGood(authenticator: Authenticator, token: string): Promise<Accepted> {
  const decision = await authenticator.authenticate(token);
  if (decision.ok) return decision;
  if (decision.code === "unavailable") {
    throw new MidctlError("unavailable", "The token could not be judged: the database cannot be asked.", {
      hint: "Try again; midctl doctor looks at the database.",
    });
  }
  throw new MidctlError("denied", "The token is refused; nothing is served.", {
    hint: "midctl verify tells why.",
  });
}
