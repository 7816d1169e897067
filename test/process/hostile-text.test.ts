import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Desk, openDesk } from "./desk.ts";
import { CTRL_C, openSession } from "./pty.ts";

/** Stored text that a terminal would obey, or that reads as something else: written by SQL, as a host might. */
const TITLE = "\u001b]0;pwned\u0007";
const HOSTILE = `${TITLE}\u001b[2J\u202Enimda\u202C\u200B\u2028\u0085\u{E0041}`;
const DANGEROUS = /(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/u;

let desk: Desk;
let token: string;
let id: string;

beforeAll(async () => {
  desk = await openDesk();
  await desk.identity("bot");
  ({ token, id } = await desk.activeCredential("bot"));
  await desk.tamper(
    "machine_identity",
    `"displayName" = U&'${escaped(HOSTILE)}', owner = U&'${escaped(HOSTILE)}', "registeredBy" = U&'${escaped(HOSTILE)}',
     labels = jsonb_build_object('team', U&'${escaped(HOSTILE)}')`,
    "bot",
  );
  await desk.tamper("machine_identity_credential", `"issuedBy" = U&'${escaped(HOSTILE)}'`, id);
  const claim = JSON.stringify({ actor: { kind: "host", name: HOSTILE }, reason: HOSTILE, approval: null });
  await desk.sql(
    `WITH claimed AS MATERIALIZED (SELECT set_config('midctl.context', $1, true))
     UPDATE machine_identity SET status = 'paused' FROM claimed WHERE slug = 'bot'`,
    [claim],
  );
  await desk.ask("resume bot");
  await desk.sql(
    `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash") VALUES ('legacy', $1, 'kan', $2)`,
    [HOSTILE, createHash("sha256").update("kan_legacy").digest("hex")],
  );
  await desk.sql(
    `INSERT INTO agent_audit_event ("publicId", action, metadata, "agentTokenId")
     SELECT 'event', $1::text, $1::text, id FROM agent_token WHERE "publicId" = 'legacy'`,
    [HOSTILE],
  );
});
afterAll(() => desk.dispose());

function escaped(text: string): string {
  return [...text]
    .map((each) => `\\+${(each.codePointAt(0) as number).toString(16).padStart(6, "0")}`)
    .join("");
}

const READING: readonly string[] = [
  "identity show bot",
  "credential show",
  "list --fields displayName,owner,labels",
  "list",
  "list credentials --fields issuedBy",
  "list tokens",
  "audit",
  "verify",
];

describe("hostile text in the database", () => {
  it.each(READING)("is made visible by `%s` in every human format, and safe in JSON", async (reading) => {
    const words = reading === "credential show" ? `${reading} ${id}` : reading;
    const input = { stdin: reading === "verify" ? token : "" };
    for (const format of ["plain", "table"]) {
      const { stdout, stderr } = await desk.run(`${words} --output ${format}`, input);
      expect(stdout + stderr).not.toMatch(DANGEROUS);
      expect(stdout).toContain("\\u{202E}nimda");
    }
    for (const format of ["json", "ndjson"]) {
      const { stdout } = await desk.run(`${words} --output ${format}`, input);
      expect(stdout).not.toMatch(DANGEROUS);
      for (const line of stdout.trimEnd().split("\n")) JSON.parse(line);
    }
  });

  it("comes out of JSON as it went in", async () => {
    const { identity, events } = await desk.ask("identity show bot");

    expect(identity).toMatchObject({ displayName: HOSTILE, owner: HOSTILE, labels: { team: HOSTILE } });
    expect(events.find(({ action }: { action: string }) => action === "identity.pause").reason).toBe(HOSTILE);
  });

  it("does not reach a terminal, neither by a table nor by the question before a revocation", async () => {
    const shown = await openSession(desk, "$midctl identity show bot; $midctl audit").ended;
    expect(shown.screen).toContain("\\u{202E}");

    const session = openSession(desk, "$midctl revoke bot");
    const asked = await session.shows("type bot");
    session.type(CTRL_C);
    expect((await session.ended).code).toBe(130);

    for (const screen of [shown.screen, asked]) {
      expect(screen).not.toContain(TITLE);
      expect(screen).not.toMatch(/\u202E|\u200B|\u2028|\u0085/);
    }
  });
});

describe("hostile text in argv", () => {
  it.each([
    ["a reference", ["identity", "show", HOSTILE]],
    ["a command", [HOSTILE]],
    ["a subcommand", ["identity", HOSTILE]],
    ["an option", ["list", `--${HOSTILE}`]],
    ["a value", ["list", "--sort", HOSTILE]],
    ["a field", ["list", "--fields", HOSTILE]],
    ["a topic", ["help", HOSTILE]],
    ["a path", ["credential", "issue", "bot", "--token-file", `./${HOSTILE}/x`]],
    ["a context", ["list", "--context", HOSTILE]],
    ["a URL", ["list", "--database-url", `postgres://${HOSTILE}@127.0.0.1:1/x`]],
  ])("as %s is visible in the error", async (_, words) => {
    const people = await desk.run([...words, "--debug"]);
    const program = await desk.run([...words, "--json"]);

    expect([2, 3, 7]).toContain(people.code);
    expect(people.stdout + people.stderr + program.stdout).not.toMatch(DANGEROUS);
    expect(program.stderr).not.toMatch(DANGEROUS);
    expect(JSON.parse(program.stderr)).toHaveProperty("error.code");
  });
});
