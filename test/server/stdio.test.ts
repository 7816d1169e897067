import { spawn } from "node:child_process";
import { once } from "node:events";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { openPostgres } from "../../src/index.ts";
import { recordAgentEvents } from "../../src/operations/agent-events.ts";
import { type Desk, openDesk } from "../process/desk.ts";
import { scrubEnvironment } from "../support/cli.ts";
import { PROGRAM } from "./program.ts";

let desk: Desk;
let id: string;

beforeAll(async () => {
  desk = await openDesk();
  await desk.identity("codex-local", "--display-name", "Codex, here");
  ({
    credential: { id },
  } = await desk.ask("credential issue codex-local --token-file ./token"));
  const db = openPostgres({ url: desk.url });
  await recordAgentEvents(db, [{ token: id, action: "card.move" }]);
  await db.close();
});
afterAll(() => desk.dispose());

/** The SDK's own client, with the program as its server. */
async function connect(...words: string[]) {
  const client = new Client({ name: "test", version: "1" });
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [PROGRAM, "mcp", "--stdio", ...words],
    cwd: desk.directory,
    env: scrubEnvironment({ ...desk.env, MIDCTL_TOKEN_FILE: "./token" }),
    stderr: "pipe",
  });
  let stderr = "";
  transport.stderr?.on("data", (chunk) => {
    stderr += chunk;
  });
  onTestFinished(() => client.close());
  await client.connect(transport);
  return { client, stderr: () => stderr, pid: transport.pid };
}

const call = (client: Client) => client.callTool({ name: "get_recent_activity", arguments: { limit: 1 } });

describe("midctl mcp --stdio", () => {
  test("serves the SDK's own client, for the token in MIDCTL_TOKEN_FILE", async () => {
    const { client, stderr } = await connect();

    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(["get_recent_activity"]);
    expect((await call(client)).structuredContent).toMatchObject({
      agentAudit: [
        {
          action: "card.move",
          displayName: "Codex, here",
          machineIdentity: { slug: "codex-local", owner: "platform", credential: id },
        },
      ],
    });
    expect(stderr()).toBe("");
  });

  test("prefers --token-file", async () => {
    await expect(connect("--token-file", "./nowhere")).rejects.toThrow();
    expect((await call((await connect("--token-file", "./token")).client)).isError).not.toBe(true);
  });

  test("refuses at the next call once the identity is paused, and serves again once it is resumed", async () => {
    const { client } = await connect();
    await call(client);

    await desk.ask("pause codex-local");
    const paused = await call(client);
    await desk.ask("resume codex-local");

    expect(paused).toMatchObject({
      isError: true,
      content: [{ text: expect.stringContaining("The token is refused") }],
    });
    expect((await call(client)).isError).not.toBe(true);
  });

  test("ends with exit 0 when the client closes its end, and writes nothing but the protocol", async () => {
    for (const output of ["plain", "json"]) {
      const { code, stdout } = await desk.run("mcp --stdio --token-file ./token", {
        stdin: '{"jsonrpc":"2.0","id":1,"method":"ping"}\n',
        env: { MIDCTL_OUTPUT: output },
      });

      expect([code, stdout]).toEqual([0, '{"result":{},"jsonrpc":"2.0","id":1}\n']);
    }
  });

  test("answers what was asked before the client closed its end", async () => {
    const { stdout } = await desk.run("mcp --stdio --token-file ./token", {
      stdin: `${JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "get_recent_activity" } })}\n`,
    });

    expect(JSON.parse(stdout).result.structuredContent.agentAudit).toMatchObject([{ action: "card.move" }]);
  });

  test("goes on after a line that is no JSON", async () => {
    const { code, stdout } = await desk.run("mcp --stdio --token-file ./token", {
      stdin: 'nonsense\n{"a":\n\0\xff\n{"jsonrpc":"2.0","id":2,"method":"ping"}\n',
    });

    expect([code, stdout]).toEqual([0, '{"result":{},"jsonrpc":"2.0","id":2}\n']);
  });

  test.each([
    ["a line without end", "x".repeat(1 << 20)],
    [
      "a message beyond 64 KiB",
      `${JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ping", more: "x".repeat(1 << 16) })}\n`,
    ],
  ])("tells client and user of %s, and ends: exit 2", async (_, stdin) => {
    const { code, stdout, stderr } = await desk.run("mcp --stdio --token-file ./token", { stdin });

    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toEqual({
      jsonrpc: "2.0",
      error: { code: -32600, message: "A message is longer than 65536 bytes; the session is over" },
      id: null,
    });
    expect(stderr).toContain("error: The client sent a message of more than 65536 bytes");
  });

  test("takes many short messages that come at once", async () => {
    const ping = (id: number) => `${JSON.stringify({ jsonrpc: "2.0", id, method: "ping" })}\n`;
    const stdin = Array.from({ length: 4_000 }, (_, id) => ping(id)).join("");

    const { code, stdout } = await desk.run("mcp --stdio --token-file ./token", { stdin });

    expect([code, stdout.split("\n").length]).toEqual([0, 4_001]);
  });
});

/** Asks, closes its end, and only then begins to read. */
async function askFirst(stdin: string): Promise<{ code: number | null; lines: number; stderr: string }> {
  const child = spawn(process.execPath, [PROGRAM, "mcp", "--stdio", "--token-file", "./token"], {
    cwd: desk.directory,
    env: scrubEnvironment(desk.env),
  });
  let [stdout, stderr] = ["", ""];
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  await new Promise<void>((resolve) => child.stdin.end(stdin, resolve));
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { code, lines: stdout.split("\n").length - 1, stderr };
}

test("midctl mcp --stdio has every answer out before it ends, however late the client reads", async () => {
  const stdin = Array.from(
    { length: 20_000 },
    (_, id) => `{"jsonrpc":"2.0","id":${id},"method":"ping"}\n`,
  ).join("");

  expect(await askFirst(stdin)).toEqual({ code: 0, lines: 20_000, stderr: "" });
});

describe("midctl mcp does not start", () => {
  test.each([
    ["mcp", "usage", 2],
    ["mcp --stdio", "usage", 2],
    ["mcp --stdio --token-file ./nowhere", "usage", 2],
  ])("as `%s`", async (words, code, exit) => {
    expect(await desk.refuse(words)).toMatchObject({ code, exit });
  });

  test("with a token in argv", async () => {
    const { token } = await desk.issue(await desk.identity("loose"));

    const refused = await desk.refuse(["mcp", "--stdio", "--token-file", token]);

    expect(refused).toMatchObject({ code: "usage", exit: 2 });
    expect(JSON.stringify(refused)).not.toContain(token.slice(25, 60));
  });

  test("with a token that is refused: exit 4", async () => {
    await desk.ask("credential issue codex-local --name ended --token-file ./ended");
    await desk.ask("revoke codex-local --yes");

    expect(await desk.refuse("mcp --stdio --token-file ./ended")).toMatchObject({ code: "denied", exit: 4 });
  });

  test("without a database: exit 7", async () => {
    const env = { MIDCTL_DATABASE_URL: "postgres://u@127.0.0.1:1/x" };

    expect(await desk.refuse("mcp --stdio --token-file ./token", { env })).toMatchObject({ exit: 7 });
  });
});
