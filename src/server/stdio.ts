import { type Readable, Transform, type Writable } from "node:stream";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import type { Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { readRecentActivity, referenceOf } from "../operations/agent-events.ts";
import type { Authenticator } from "../operations/authenticate.ts";
import { isUndecided } from "../operations/bearer.ts";
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
  /**
   * Resolves when the client has closed its end, or `close` was called.
   * @throws MidctlError `usage` where the client sent a message beyond 64 KiB: it was told so, and the session is over
   */
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
  let failure: MidctlError | undefined;
  const over = new Promise<void>((resolve, reject) => {
    server.server.onclose = async () => {
      await flush(output);
      if (failure === undefined) resolve();
      else reject(failure);
    };
  });
  const lines = splitLines();
  // One for each answer that waits for a client who does not read.
  output.setMaxListeners(0);
  lines.once("end", finish).once("error", (error) => {
    if (error instanceof MidctlError) {
      failure = error;
      output.write(`${JSON.stringify(TOO_LONG)}\n`);
    }
    void close();
  });
  input.once("error", close);
  // The client is gone: there is nobody to tell.
  output.once("error", close);
  await server.connect(new StdioServerTransport(lines, output, { maxBufferSize: 2 * BODY_MAX }));
  input.pipe(lines);
  return { over, close };
}

/** Until all that was written is out, or nobody takes it any more: what still waits would end with the process. */
function flush(output: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (output.destroyed) return resolve();
    output.once("close", resolve);
    output.write("", () => resolve());
  });
}

const TOO_LONG = {
  jsonrpc: "2.0",
  error: { code: -32_600, message: `A message is longer than ${BODY_MAX} bytes; the session is over` },
  id: null,
};

/**
 * Line by line, which the SDK does not do: it takes many short messages that come at once for one too long. Reads on while
 * the client does not: one that asks all first and reads then would wait for ever, and so would we.
 */
function splitLines(): Transform {
  let begun: Buffer[] = [];
  let length = 0;
  return new Transform({
    transform(chunk: Buffer, _, done) {
      let at = 0;
      while (at < chunk.length) {
        const end = chunk.indexOf(10, at);
        const piece = chunk.subarray(at, end < 0 ? chunk.length : end + 1);
        at += piece.length;
        length += piece.length;
        if (length > BODY_MAX + 1) {
          return done(
            new MidctlError(
              "usage",
              `The client sent a message of more than ${BODY_MAX} bytes; it was not answered.`,
              {
                hint: "The session is over; what was asked before stands. Start another.",
              },
            ),
          );
        }
        begun.push(piece);
        if (end >= 0) {
          this.push(Buffer.concat(begun));
          begun = [];
          length = 0;
        }
      }
      done();
    },
  });
}

async function requireGood(authenticator: Authenticator, token: string): Promise<Accepted> {
  const decision = await authenticator.authenticate(token);
  if (decision.ok) return decision;
  // Why, where it is the log's head.
  if (isUndecided(decision.code)) {
    await authenticator.check();
    throw new MidctlError("unavailable", "The token could not be judged: the database cannot be asked.", {
      hint: "Try again; midctl doctor looks at the database.",
    });
  }
  throw new MidctlError("denied", "The token is refused; nothing is served.", {
    hint: "midctl verify tells why.",
  });
}
