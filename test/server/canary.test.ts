import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hashToken } from "../../src/domain/token.ts";
import { openPostgres } from "../../src/index.ts";
import { type Desk, openDesk } from "../process/desk.ts";
import { insertLegacy } from "../verifier/scene.ts";
import { ask, startServe } from "./program.ts";

/** Tokens of every kind, each known, and hunted for in all that a server says. */
let desk: Desk;
const tokens: string[] = [];
let caller: string;

beforeAll(async () => {
  desk = await openDesk();
  await desk.identity("bot");
  for (const name of ["pending", "active", "paused", "revoked"]) {
    const { token, id } = await desk.issue("bot", "--name", name, "--scope", "midctl:introspect");
    tokens.push(token);
    if (name !== "pending") await desk.ask("credential activate", { stdin: `${token}\n` });
    if (name === "paused") await desk.ask(`pause ${id}`);
    if (name === "revoked") await desk.ask(`revoke ${id} --yes`);
  }
  caller = tokens[1] ?? "";
  tokens.push("mid_test_000000000000_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa000000");
  const db = openPostgres({ url: desk.url });
  tokens.push(await insertLegacy(db, "legacycanary"), "kanagent_unknown_canary");
  await db.close();
});
afterAll(() => desk.dispose());

/** What may not be seen of a token, in any spelling. */
function traces(token: string): string[] {
  const hash = token.startsWith("mid_") ? hashToken(token) : createHash("sha256").update(token).digest("hex");
  const secret = token.startsWith("mid_") ? (token.split("_")[3] ?? "").slice(0, 43) : token;
  return [
    secret,
    hash,
    hash.toUpperCase(),
    Buffer.from(hash, "hex").toString("base64"),
    Buffer.from(token).toString("base64").slice(40),
  ].filter((trace) => trace.length >= 8);
}

function expectClean(text: string, where: string): void {
  for (const token of tokens) {
    for (const trace of traces(token))
      expect(text.includes(trace), `${where} shows a secret or its hash`).toBe(false);
  }
}

const MCP = { "content-type": "application/json", accept: "application/json, text/event-stream" };
const FORM = { "content-type": "application/x-www-form-urlencoded" };

/** Every way in which a token can come, in its place and out of it. */
async function sayAll(url: string): Promise<string> {
  const said: string[] = [];
  const hear = async (answer: Promise<Response>) => {
    const response = await answer;
    said.push(JSON.stringify([...response.headers]), await response.text());
  };
  for (const token of tokens) {
    const call = (name: string) =>
      JSON.stringify({
        jsonrpc: "2.0",
        id: token,
        method: "tools/call",
        params: { name, arguments: {} },
      }).replace(JSON.stringify(token), "1");
    await hear(ask(`${url}/auth`, token));
    await hear(ask(`${url}/auth?scope=${token}`, caller));
    await hear(ask(`${url}/auth/${token}`, token));
    await hear(ask(`${url}/${token}`, token, { method: "DELETE" }));
    await hear(ask(`${url}/introspect`, token, { method: "POST", headers: FORM, body: `token=${token}` }));
    await hear(ask(`${url}/introspect`, caller, { method: "POST", headers: FORM, body: `token=${token}` }));
    await hear(
      ask(`${url}/introspect`, caller, {
        method: "POST",
        headers: FORM,
        body: `token=${token}&token=${token}`,
      }),
    );
    await hear(ask(`${url}/mcp`, token, { method: "POST", headers: MCP, body: call("get_recent_activity") }));
    await hear(
      ask(`${url}/mcp`, token, {
        method: "POST",
        headers: { ...MCP, origin: `https://${token}` },
        body: "{",
      }),
    );
  }
  await hear(ask(`${url}/metrics`, caller));
  await hear(ask(`${url}/readyz`, caller));
  return said.join("\n");
}

describe("no secret and no hash is said by midctl serve", () => {
  test("to those who ask, in its log, or under --debug", async () => {
    const serving = await startServe(desk.env, "--debug");

    const said = await sayAll(serving.url);
    serving.kill("SIGTERM");
    await serving.ended;

    expectClean(said, "an answer");
    expectClean(serving.stdout() + serving.stderr(), "the log");
    expect(serving.stderr().split("\n").length).toBeGreaterThan(tokens.length * 9);
  });

  test("while its database fails it", async () => {
    const serving = await startServe(desk.env, "--debug");
    await desk.sql("ALTER TABLE agent_token RENAME TO elsewhere");
    try {
      const said = await sayAll(serving.url);
      serving.kill("SIGTERM");
      await serving.ended;

      expectClean(said + serving.stdout() + serving.stderr(), "what it said");
      expect(said).toContain('{"error":"unavailable"}');
      expect(said).not.toMatch(/agent_token|relation|SELECT/);
    } finally {
      await desk.sql("ALTER TABLE elsewhere RENAME TO agent_token");
    }
  });

  test("in its arguments, nor in the views of the database", async () => {
    const serving = await startServe(desk.env);
    await sayAll(serving.url);

    const queries = await desk.sql("SELECT query FROM pg_stat_activity");

    expectClean(JSON.stringify(queries), "pg_stat_activity");
  });
});
