import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import * as z from "zod/mini";
import { registry } from "../../src/cli/registry.ts";
import { postgresDatabases, type TestDatabase } from "../support/databases.ts";
import { faultsByPublished } from "../support/published.ts";
import { type Answer, type Desk, openDesk } from "./desk.ts";
import { openProtectedDesk, type ProtectedDesk } from "./protected-desk.ts";

/** SPEC §6 and its appendix, command by command: what scripts lean on. */
let desk: Desk;
let token: string;
let spare: string;
let id: string;
let campaign: string;
/** Of the embedded engine: a database that has moved is no place for anything else. */
let store: string;
/** Where it is pushed. */
let team: TestDatabase | undefined;
/** Where approvals are. */
let production: ProtectedDesk;
const requested: Record<string, string> = {};

beforeAll(async () => {
  production = await openProtectedDesk();
  for (const name of ["open", "approved", "rejected", "cancelled", "imported"]) {
    const { id, planFile } = await production.request(`identity create ${name} --owner x`);
    requested[name] = id;
    if (name === "imported") {
      const signature = production.trust.sign("bob", readFileSync(planFile, "utf8"), "midctl-approval@v1");
      writeFileSync(join(production.directory, "bob.sig"), signature);
    }
  }
  const { id: executed } = await production.carryThrough("identity create executed --owner x");
  requested.executed = executed;
  desk = await openDesk();
  await desk.identity("bot", "--label", "team=infra");
  await desk.identity("child", "--parent", "bot");
  ({ token, id } = await desk.activeCredential("bot", "--scope", "cards:*"));
  spare = (await desk.issue("child")).token;
  await desk.identity("fleet");
  await desk.activeCredential("fleet");
  mkdirSync(join(desk.directory, "secrets"));
  ({ id: campaign } = (await desk.ask("credential rotate fleet --token-file-dir ./secrets --yes")).campaign);
  writeFileSync(
    join(desk.directory, "rotation.yaml"),
    `version: 1
name: contract
select: {identities: [fleet]}
credential: {replacePending: true}
delivery: {files: ./secrets}
`,
  );
  await desk.sql(
    `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash") VALUES ('legacy000001', 'old', 'kan', repeat('0a', 32))`,
  );
  const { origin, size, root } = await desk.ask("audit checkpoint");
  writeFileSync(join(desk.directory, "head"), `${origin}\n${size}\n${root}\n`);
  await desk.ask("context set lab --database-url postgres://u@h/x");
  const place = mkdtempSync(join(inject("scratch"), "embedded-"));
  // Under root the server runs as a user of its own, who must reach the store.
  chmodSync(place, 0o755);
  store = join(place, "store");
  [team] = await Promise.all(
    postgresDatabases()
      .slice(0, 1)
      .map(({ createBare }) => createBare()),
  );
  await desk.ask(["context", "set", "team", "--database-url", team?.url ?? ""]);
});
afterAll(async () => {
  await run("db stop");
  await team?.dispose();
  await production.dispose();
  await desk.dispose();
});

interface Sample {
  readonly words: string;
  readonly stdin?: () => string;
  readonly exit?: number;
  /** The embedded engine's own commands need no server of the tests'. */
  readonly embedded?: true;
  /** In the protected environment; `{name}` is the request of that name, `{key}` bob's. */
  readonly protected?: true;
}

/** A run of every command that there is. */
const SAMPLES: Readonly<Record<string, Sample>> = {
  "identity create": { words: "identity create fresh --owner x --expires 30d --idle-ttl 24h" },
  "identity show": { words: "identity show bot" },
  "identity update": { words: "identity update child --owner y --label a=b" },
  "identity import": { words: "identity import", stdin: () => '{"slug":"imported","owner":"x"}' },
  "identity adopt": { words: "identity adopt at_legacy000001 --slug adopted --owner x" },
  "credential issue": { words: "credential issue fresh" },
  "credential rotate": { words: "credential rotate bot" },
  "credential prepare": { words: "credential prepare --environment test --token-file ./prepared" },
  "credential activate": { words: "credential activate", stdin: () => spare },
  "credential show": { words: "credential show" },
  pause: { words: "pause child" },
  resume: { words: "resume child" },
  revoke: { words: "revoke child --yes" },
  "token sunset": { words: "token sunset --after 30d --yes" },
  list: { words: "list" },
  "audit list": { words: "audit" },
  "audit trace": { words: "audit trace bot" },
  "audit verify": { words: "audit verify" },
  "audit checkpoint": { words: "audit checkpoint" },
  "audit export": { words: "audit export --out ./log.jsonl" },
  "audit prove": { words: "audit prove --event log_0" },
  "audit reconcile": { words: "audit reconcile --head-file ./head" },
  verify: { words: "verify", stdin: () => token },
  "runbook check": { words: "runbook check rotation.yaml" },
  "runbook plan": { words: "runbook plan rotation.yaml" },
  "runbook run": { words: "runbook run rotation.yaml --yes" },
  "runbook resume": { words: "runbook resume {campaign} --token-file-dir ./secrets" },
  "runbook status": { words: "runbook status" },
  "approval list": { words: "approval list", protected: true },
  "approval show": { words: "approval show {open}", protected: true },
  "approval approve": { words: "approval approve {approved} --key {key} --yes", protected: true },
  "approval reject": { words: "approval reject {rejected}", protected: true },
  "approval cancel": { words: "approval cancel {cancelled}", protected: true },
  "approval apply": { words: "approval apply {executed}", protected: true },
  "approval wait": { words: "approval wait {executed}", protected: true },
  "approval export": { words: "approval export {open} --out exported.json", protected: true },
  "approval import": { words: "approval import {imported} --signature bob.sig", protected: true },
  status: { words: "status" },
  sweep: { words: "sweep --revoke-idle-after 30d" },
  // The tests' server runs without fsync, which is a finding.
  doctor: { words: "doctor", exit: 9 },
  "db migrate": { words: "db migrate" },
  "db init": { words: "db init --environment staging" },
  "db protect": { words: "db protect", protected: true },
  "db status": { words: "db status" },
  "db grant": { words: "db grant --role auditor pg_monitor --dry-run" },
  "db rollback": { words: "db rollback --yes", embedded: true },
  "db push": { words: "db push team --yes", embedded: true },
  "db stop": { words: "db stop", embedded: true },
  "context list": { words: "context list" },
  "context show": { words: "context show" },
  "context use": { words: "context use --none" },
  "context set": { words: "context set other --actor bob" },
  "context remove": { words: "context remove other" },
  completion: { words: "completion bash" },
  help: { words: "help tokens" },
  version: { words: "version" },
};

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

function run(path: string, ...more: string[]) {
  const { words, stdin, embedded, protected: gated } = SAMPLES[path] as Sample;
  if (gated === true) {
    const named = words.replace(/\{(\w+)\}/g, (_, name: string) =>
      name === "key" ? production.trust.keyFile("bob") : (requested[name] ?? ""),
    );
    return production.run([...named.split(" "), ...more]);
  }
  const subject = path === "credential show" ? [id] : [];
  return desk.run([...words.replace("{campaign}", campaign).split(" "), ...subject, ...more], {
    stdin: stdin?.() ?? "",
    env: embedded ? { MIDCTL_DATABASE_URL: undefined, MIDCTL_DATA_DIR: store } : {},
  });
}

/** Every key and value of a document, however deep. */
function* walk(value: unknown): Generator<[string, unknown]> {
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (!Array.isArray(value)) yield [key, inner];
    yield* walk(inner);
  }
}

/** They run until they are told to stop: test/server has them, and test/process/audit-follow. */
const LASTING = ["audit follow", "serve", "mcp"];
const ending = registry.filter(({ path }) => !LASTING.includes(path));

it("has a sample of every command that ends by itself", () => {
  expect(Object.keys(SAMPLES)).toEqual(ending.map(({ path }) => path));
});

it.each(LASTING)("`%s` answers bad usage with exit 2 and one line of JSON on stderr alone", async (path) => {
  expect(await desk.refuse([...path.split(" "), "--nope"])).toMatchObject({ exit: 2, code: "usage" });
});

describe.each(ending.map(({ path, load }) => ({ path, load })))("`$path`", ({ path, load }) => {
  it("prints one JSON document of its schema, and nothing beside it", async () => {
    const result = await run(path, "--json");

    expect(result, result.stderr).toMatchObject({ code: SAMPLES[path]?.exit ?? 0 });
    expect(result.stdout).toMatch(/^\{"schemaVersion":1,.*\}\n$/);
    const { schemaVersion, ...document } = JSON.parse(result.stdout);
    expect(schemaVersion).toBe(1);
    // A field that the schema does not know would be gone after parsing.
    expect(z.parse((await load()).output as z.ZodMiniType, document)).toEqual(document);
    expect(faultsByPublished(path, { schemaVersion, ...document })).toEqual([]);
    for (const [key, value] of walk(document)) {
      if (/(?:At|Until|Deadline)$|^at$/.test(key))
        expect(value === null || INSTANT.test(String(value))).toBe(true);
    }
  });

  it("prints plain text without colours off a terminal", async () => {
    const { stdout, stderr } = await run(path, "--dry-run");

    expect(stdout + stderr).not.toContain("\u001b");
  });

  it("answers bad usage with exit 2 and one line of JSON on stderr alone", async () => {
    const { words } = SAMPLES[path] as Sample;

    expect(await desk.refuse([...words.split(" ").slice(0, path.split(" ").length), "--nope"])).toMatchObject(
      {
        exit: 2,
        code: "usage",
      },
    );
  });
});

describe("the published schema", () => {
  it.each([
    ["list", "list credentials"],
    ["list", "list tokens"],
    ["list", "list --all"],
    ["runbook status", "runbook status {campaign}"],
    ["credential rotate", "credential rotate fleet --token-file-dir ./secrets --yes --dry-run"],
    ["identity adopt", "identity adopt --all --plan ./adoption.ndjson"],
    ["audit prove", "audit prove --event log_0 --out ./proof"],
    ["audit verify", "audit verify --proof ./proof"],
    ["verify", "verify"],
  ])("of `%s` knows the shape of `%s`", async (path, words) => {
    const { stdout, stderr } = await desk.run(
      [...words.replace("{campaign}", campaign).split(" "), "--json"],
      {
        stdin: "not a token",
      },
    );

    expect(stdout, stderr).toMatch(/^\{"schemaVersion":1,/);
    expect(faultsByPublished(path, JSON.parse(stdout))).toEqual([]);
  });

  it("refuses a document without its version, in whichever shape", async () => {
    const { schemaVersion: _, ...listed } = await desk.ask("list credentials");

    expect(faultsByPublished("list", listed)).not.toEqual([]);
  });
});

describe("the appendix", () => {
  const identity =
    "slug publicId kind provider threadId displayName owner labels parent workspace status effectiveStatus expiresAt idleTtl createdAt createdBy";
  const credential =
    "id identity name status effectiveStatus scopes issuedAt activatedAt activationDeadline expiresAt graceUntil replaces lastUsedAt issuedBy";
  const holds = (document: Answer, keys: string): void => {
    expect(Object.keys(document)).toEqual(expect.arrayContaining(keys.split(" ")));
  };

  it("names what create and issue print", async () => {
    const created = await desk.ask("identity create appendix --owner x");
    holds(created, "created identity");
    holds(created.identity, identity);
    const issued = await desk.ask("credential issue appendix");
    holds(issued, "token tokenFile created identity credential");
    holds(issued.identity, identity);
    holds(issued.credential, credential);
    expect(issued).toMatchObject({
      token: expect.stringMatching(/^mid_test_/),
      tokenFile: null,
      credential: { id: expect.stringMatching(/^mc_\w{12}$/), identity: "appendix" },
    });
  });

  it("names what pause, list, audit and verify print", async () => {
    const [paused] = (await desk.ask("pause appendix")).results;
    holds(paused, "ref kind changed status letGo");
    holds(paused.letGo, "verifiers acknowledged expired ms");
    await desk.ask("resume appendix");

    holds((await desk.ask("list")).identities[0], identity);
    holds((await desk.ask("list credentials")).credentials[0], credential);
    holds(await desk.ask("list tokens"), "tokens nextCursor");

    const { events } = await desk.ask("audit --action credential.issue");
    holds(events[0], "id index at action actor machineIdentity credential reason approval details");
    holds(events[0].actor, "kind name sessionUser");
    holds(events[0].machineIdentity, "slug displayName");
    expect(events[0]).toMatchObject({
      actor: { kind: "operator", name: "alice" },
      action: "credential.issue",
    });

    const verified = await desk.ask("verify", { stdin: token });
    holds(verified, "ok actor credential expiresAt");
    holds(verified.actor, "kind slug displayName owner");
  });

  it("of a token that is not good is a result with exit 4", async () => {
    const scoped = await desk.run("verify --scope boards:read --json", { stdin: token });

    expect(scoped).toMatchObject({ code: 4, stderr: "" });
    expect(JSON.parse(scoped.stdout)).toEqual({ schemaVersion: 1, ok: false, code: "scope_missing" });
    expect((await desk.run("verify --scope cards:write", { stdin: token })).code).toBe(0);
  });
});

describe("the formats", () => {
  it("--quiet leaves stderr empty, and the result where it was", async () => {
    const { stdout, stderr } = await desk.run("identity update bot --display-name Bot --quiet");

    expect(stderr).toBe("");
    expect(stdout).toContain("Bot");
    expect((await desk.run("list --owner nobody --quiet")).stderr).toBe("");
  });

  it("--fields takes paths, in the order given, and refuses an unknown one before anything is done", async () => {
    expect((await desk.run("list --fields owner,slug --status active")).stdout).toContain("platform\tbot\n");
    expect(await desk.ask("verify --fields actor.slug,ok", { stdin: token })).toEqual({
      schemaVersion: 1,
      actor: { slug: "bot" },
      ok: true,
    });
    expect((await desk.ask("list --fields labels.team")).identities).toContainEqual({
      labels: { team: "infra" },
    });
    expect(await desk.refuse("identity create never --owner x --fields identity.slgu")).toMatchObject({
      exit: 2,
      hint: "did you mean identity.slug?",
    });
    expect((await desk.run("identity show never")).code).toBe(3);
  });

  it("ndjson is one element a line, page after page under --all", async () => {
    const { stdout } = await desk.run("list credentials --all --output ndjson");
    const lines = stdout.trimEnd().split("\n");

    expect(lines.length).toBeGreaterThan(2);
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ id: expect.stringMatching(/^mc_/) });
    expect((await desk.run("verify --output ndjson", { stdin: token })).stdout).toMatch(
      /^\{"schemaVersion":1,"ok":true/,
    );
  });

  it("a page names the next one, and the pages are the whole", async () => {
    const slugs = (document: Answer): string[] => document.identities.map(({ slug }: Answer) => slug);
    const all = slugs(await desk.ask("list --all"));
    const paged: string[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const document: Answer = await desk.ask(`list --limit 2${cursor === "" ? "" : ` --cursor ${cursor}`}`);
      paged.push(...slugs(document));
      cursor = document.nextCursor;
    }

    expect(paged).toEqual(all);
    expect(await desk.refuse("list credentials --cursor bogus")).toMatchObject({ exit: 2 });
  });

  it("a table asked for in a pipe is neither coloured nor cut", async () => {
    const name = "长名字 and a very long display name ".repeat(6).trim();
    await desk.identity("wide", "--display-name", name);
    const { stdout } = await desk.run(["list", "--output", "table"]);
    const shown = await desk.run(["identity", "show", "wide", "--output", "table"]);

    expect(stdout).not.toMatch(/\u001b|…/);
    expect(shown.stdout).toContain(name);
  });

  it("--json excludes another --output; global options stand before or after the command", async () => {
    expect((await desk.run("list --json --output plain")).code).toBe(2);
    expect((await desk.run("--json list")).stdout).toBe((await desk.run("list --json")).stdout);
    expect((await desk.run("list", { env: { MIDCTL_OUTPUT: "json" } })).stdout).toMatch(
      /^\{"schemaVersion":1/,
    );
  });

  it("--exit-code makes a list a check: 9 when there is anything, with the document", async () => {
    const some = await desk.run("list --exit-code --json");
    expect(some.code).toBe(9);
    expect(JSON.parse(some.stdout).identities.length).toBeGreaterThan(0);
    expect((await desk.run("list --owner nobody --exit-code")).code).toBe(0);
  });

  it("the reason stands in the log as it was given", async () => {
    const reason = "because of\nticket 4711: Ünïcödé";
    await desk.ask(["pause", "fresh", "--reason", reason]);
    const { events } = await desk.ask("audit --identity fresh --limit 1");

    expect(events[0]).toMatchObject({ action: "identity.pause", reason });
  });
});
