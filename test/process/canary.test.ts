import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hashToken } from "../../src/domain/token.ts";
import type { CliResult } from "../support/cli.ts";
import { type Desk, holdIdentity, openDesk } from "./desk.ts";

/** Secrets that are known, and hunted for everywhere but where SPEC §4 allows them. */
let desk: Desk;
let id: string;
const secrets: string[] = [];

beforeAll(async () => {
  desk = await openDesk();
  await desk.identity("bot");
  for (const name of ["current", "pending"]) {
    await desk.ask(["credential", "issue", "bot", "--name", name, "--token-file", `./${name}`]);
    secrets.push(tokenIn(name));
  }
  ({
    credential: { id },
  } = await desk.ask("credential activate", { stdin: tokenIn("current") }));
  await desk.ask("credential prepare --environment test --token-file ./prepared");
  secrets.push(tokenIn("prepared"), tokenOfAnother);
});
afterAll(() => desk.dispose());

/** Well-formed, and unknown to the database. */
const tokenOfAnother = "mid_test_000000000000_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa000000";

function tokenIn(file: string): string {
  return readFileSync(join(desk.directory, file), "utf8").trim();
}

/** What may not be seen of a token: its secret part and what it is looked up by, in any spelling. */
function traces(token: string): string[] {
  const hash = hashToken(token);
  const secret = token.split("_")[3] ?? "";
  return [
    secret,
    secret.slice(0, 43),
    hash,
    hash.toUpperCase(),
    Buffer.from(hash, "hex").toString("base64"),
    createHash("sha256").update(token).digest("hex"),
    Buffer.from(token).toString("base64").slice(40, 80),
  ];
}

function expectClean(text: string, where: string): void {
  for (const token of secrets) {
    for (const trace of traces(token)) {
      expect(text.includes(trace), `${where} shows a secret or its hash`).toBe(false);
    }
  }
}

const shownBy = ({ stdout, stderr }: CliResult): string => `${stdout}\n${stderr}`;

/** Each command with a known secret within reach, failing and succeeding. */
const COMMANDS: readonly (readonly [string, string?])[] = [
  ["identity show bot"],
  ["identity create bot --owner x"],
  ["identity create bot --owner platform --if-not-exists"],
  ["identity update bot --display-name Bot"],
  ["credential issue bot --name current --token-file ./current"],
  ["credential issue bot --name other --token-file ./current"],
  ["credential issue bot --name pending --token-file ./pending"],
  ["credential issue bot --name pending"],
  ["credential issue bot --token-file ./prepared --dry-run"],
  ["credential issue nobody --token-file ./prepared"],
  ["credential rotate bot --name current --token-file ./current"],
  ["credential rotate bot --name nothing --token-file ./prepared"],
  ["credential prepare --environment live --token-file ./prepared"],
  ["credential activate", "current"],
  ["credential activate --token-file ./current"],
  ["credential activate --dry-run", "pending"],
  ["credential activate", "prepared"],
  ["verify", "current"],
  ["verify", "pending"],
  ["verify", "prepared"],
  ["verify --token-file ./current"],
  ["verify --scope cards:read", "current"],
  ["revoke --token-stdin", "current"],
  ["revoke --token-stdin --yes --dry-run", "current"],
  ["revoke --token-stdin --yes", "prepared"],
  ["list"],
  ["list credentials"],
  ["list tokens"],
  ["list --owner", "current"],
  ["audit"],
  ["status"],
  ["doctor"],
  ["db status"],
  ["context show"],
  ["pause bot --dry-run"],
  ["nonsense", "current"],
];

describe("no secret and no hash is shown", () => {
  const runs = COMMANDS.map(([words, stdin]) => ({ words, stdin }));
  it.each(runs)("by `$words`, with --debug, for people and for programs", async ({ words, stdin }) => {
    const options = { stdin: stdin === undefined ? "" : tokenIn(stdin) };
    // A document holds all that a view can show, so where there is no secret at hand the one run says it for both.
    const formats = /^(credential|verify|revoke)/.test(words) ? ["json", "plain"] : ["json"];
    for (const format of formats) {
      expectClean(shownBy(await desk.run(`${words} --debug --output ${format}`, options)), words);
    }
  });

  it("by `credential show`", async () => {
    expectClean(shownBy(await desk.run(["credential", "show", id, "--json", "--debug"])), "credential show");
  });

  it("by a command that fails on an unreachable database, with the secret in hand", async () => {
    for (const words of ["verify", "credential activate", "revoke --token-stdin --yes"]) {
      const result = await desk.run(`${words} --debug`, {
        stdin: tokenIn("current"),
        env: { MIDCTL_DATABASE_URL: "postgres://u@127.0.0.1:1/x" },
      });
      expect(result.code).toBe(7);
      expectClean(shownBy(result), words);
    }
  });

  it("by a statement that the database refuses, whose parameters hold the hash", async () => {
    await desk.sql(
      `CREATE FUNCTION zz_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no: %', NEW."tokenHash" USING ERRCODE = '22P02', DETAIL = NEW."tokenHash"; END $$`,
    );
    await desk.sql(
      "CREATE TRIGGER zz_refuse BEFORE INSERT ON machine_identity_credential FOR EACH ROW EXECUTE FUNCTION zz_refuse()",
    );
    try {
      const result = await desk.run(
        "credential issue bot --name refused --token-file ./prepared --debug --json",
      );
      expect(result.code).toBe(1);
      expectClean(shownBy(result), "a refused statement");
    } finally {
      await desk.sql("DROP FUNCTION zz_refuse CASCADE");
    }
  });

  it("by a commitment that is refused", async () => {
    const { commitment } = await desk.ask("credential prepare --environment test --token-file ./prepared");
    for (const words of [
      `credential issue nobody --commitment ${commitment}`,
      `revoke ${commitment} --yes`,
    ]) {
      expectClean(shownBy(await desk.run(`${words} --debug`)), words);
    }
  });
});

describe("where a secret may be", () => {
  it("is once on stdout, or in `token` of the document; its hash is nowhere", async () => {
    const plain = await desk.run("credential issue bot --name plain --debug");
    const json = await desk.run("credential issue bot --name json --json --debug");
    const document = JSON.parse(json.stdout);
    const token = plain.stdout.trim();
    secrets.push(token, document.token);

    expectClean(plain.stderr, "stderr");
    expectClean(json.stderr, "stderr");
    expectClean(JSON.stringify({ ...document, token: null }), "the rest of the document");
    expect(json.stdout.split(document.token)).toHaveLength(2);
    expect(plain.stdout).toBe(`${token}\n`);
    expect(json.stdout + plain.stdout).not.toContain(hashToken(token));
  });
});

describe("the traces that a secret leaves", () => {
  it("are none in a running command's arguments and environment, nor in the server's view of it", async () => {
    const held = await holdIdentity(desk, "bot");
    const running = [
      desk.run("credential issue bot --name held --token-file ./held"),
      desk.run("credential activate", { stdin: tokenIn("pending") }),
      desk.run("credential issue bot --name held-too --quiet"),
    ];
    await held.waiting(running.length);
    secrets.push(tokenIn("held"));

    const programs = processesOf("midctl.cjs");
    expect(programs.length).toBeGreaterThanOrEqual(running.length);
    for (const text of programs) expectClean(text, "the process table");
    const queries = await desk.sql<{ query: string }>("SELECT query FROM pg_stat_activity");
    expectClean(JSON.stringify(queries), "pg_stat_activity");

    await held.release();
    for (const { code } of await Promise.all(running)) expect(code).toBe(0);
  });

  it("are none in the log", async () => {
    const entries = await desk.sql<{ entry: string }>("SELECT entry FROM midctl_log");

    expect(entries.length).toBeGreaterThan(5);
    expectClean(JSON.stringify(entries), "midctl_log");
  });

  it("are the hash alone in the tables", async () => {
    const tables = await desk.sql<{ text: string }>(
      `SELECT (SELECT jsonb_agg(to_jsonb(c) - 'tokenHash') FROM machine_identity_credential c)::text
           || (SELECT jsonb_agg(to_jsonb(t) - 'tokenHash') FROM agent_token t)::text
           || (SELECT jsonb_agg(i) FROM machine_identity i)::text AS text`,
    );
    expectClean(JSON.stringify(tables), "the tables");
  });

  it("are none in any file that midctl wrote but the token files", () => {
    for (const name of ["current", "pending", "prepared", "held"]) rmSync(join(desk.directory, name));
    for (const directory of [desk.directory, desk.env.XDG_CACHE_HOME ?? ""]) {
      for (const token of secrets) {
        const secret = token.split("_")[3] ?? "";
        for (const trace of [secret, hashToken(token)]) {
          expect(spawnSync("grep", ["-rlaF", trace, directory]).stdout.toString()).toBe("");
        }
      }
    }
  });
});

/** Arguments and environment of every process whose arguments hold this word. */
function processesOf(word: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const cmdline = readFileSync(`/proc/${pid}/cmdline`, "latin1");
        return cmdline.includes(word) ? [cmdline + readFileSync(`/proc/${pid}/environ`, "latin1")] : [];
      } catch {
        return []; // gone meanwhile, or another user's
      }
    });
}
