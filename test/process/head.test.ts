import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { parseKeptHead } from "../../src/domain/kept-head.ts";
import { ask, startProgram, startServe } from "../server/program.ts";
import { postgresDatabases, type TestDatabase } from "../support/databases.ts";
import { until } from "../verifier/scene.ts";
import { type Desk, openDesk } from "./desk.ts";

const BIN = "/usr/lib/postgresql/15/bin";

/** docs/evidence.md, "A restored backup": what it says, with the tools of Debian's PostgreSQL 15. */
describe.each(
  postgresDatabases().filter(({ name }) => name === "PostgreSQL 15" && existsSync(`${BIN}/pg_restore`)),
)("a backup of $name, restored in place", ({ create }) => {
  let database: TestDatabase;
  let desk: Desk;
  let dump: string;
  let head: string;
  let leaked: string;
  let good: string;
  /** What the log had when the backup was made, and when the verifier looked last. */
  let [backedUp, seen] = [0, 0];

  beforeEach(async () => {
    database = await create();
    desk = await openDesk({ MIDCTL_DATABASE_URL: database.url ?? "" });
    const scratch = mkdtempSync(join(inject("scratch"), "restored-"));
    [dump, head] = [join(scratch, "dump"), join(scratch, "head")];
    await desk.identity("bot");
    ({ token: good } = await desk.activeCredential("bot"));
    await desk.identity("leaver");
    ({ token: leaked } = await desk.activeCredential("leaver"));
    execFileSync(`${BIN}/pg_dump`, ["-Fc", "-f", dump, database.directUrl ?? ""]);
    ({ size: backedUp } = await desk.ask("audit checkpoint"));
    await desk.ask("revoke leaver --yes");
    ({ size: seen } = await desk.ask("audit checkpoint"));
    return async () => {
      await desk.dispose();
      await database.dispose();
    };
  });

  const restore = () =>
    execFileSync(`${BIN}/pg_restore`, ["--clean", "-1", "-d", database.directUrl ?? "", dump], {
      stdio: ["ignore", "ignore", "pipe"],
    });
  const readyz = async (url: string): Promise<Record<string, unknown>> =>
    JSON.parse(await (await fetch(`${url}/readyz`)).text());
  /** A server with this head file that has seen the revocation. */
  async function serveSeeing() {
    const served = await startServe(desk.env, "--head-file", head, "--no-access-log");
    await until(() => existsSync(head) && parseKeptHead(readFileSync(head, "utf8"))?.size === seen);
    return served;
  }

  test("is refused by the server that saw the revocation, which says why", async () => {
    const { url, stderr } = await serveSeeing();
    restore();

    const refused = await ask(`${url}/auth`, leaked);

    expect([refused.status, refused.headers.get("retry-after"), await refused.text()]).toEqual([
      503,
      "2",
      '{"error":"unavailable"}',
    ]);
    expect((await ask(`${url}/auth`, good)).status).toBe(503);
    await until(async () => (await readyz(url)).reason === "behind_checkpoint");
    expect(await readyz(url)).toEqual({
      ready: false,
      reason: "behind_checkpoint",
      size: backedUp,
      kept: seen,
      forked: false,
    });
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain("\nmidctl_verifier_behind_checkpoint 1\n");
    expect(metrics).toContain(`\nmidctl_verifier_head_entries ${seen}\n`);
    expect(stderr().match(/entries, and \d+ were seen/g)).toHaveLength(1);
  });

  test("is refused by a server that was started after it, and by verify", async () => {
    const before = await serveSeeing();
    before.kill("SIGTERM");
    await before.ended;
    restore();

    const { url } = await startServe(desk.env, "--head-file", head);
    const looked = await desk.run(`verify --json --head-file ${head}`, { stdin: leaked });

    expect((await ask(`${url}/auth`, leaked)).status).toBe(503);
    expect([looked.code, JSON.parse(looked.stdout)]).toEqual([
      4,
      { schemaVersion: 1, ok: false, code: "behind_checkpoint" },
    ]);
  });

  test("is compared before anything is accepted, and nothing is without a yes", async () => {
    await serveSeeing();
    restore();

    const shown = await desk.run(`audit reconcile --json --head-file ${head}`);
    const unconfirmed = await desk.refuse(`audit reconcile --accept --head-file ${head}`);

    expect(shown.code).toBe(9);
    expect(JSON.parse(shown.stdout)).toMatchObject({
      kept: { size: seen },
      found: { size: backedUp },
      growth: "shorter",
      lost: { from: backedUp, to: seen - 1 },
      accepted: false,
    });
    expect(unconfirmed).toMatchObject({ exit: 2, message: expect.stringMatching(/nothing was changed/) });
    expect(parseKeptHead(readFileSync(head, "utf8"))?.size).toBe(seen);
  });

  test("is decided by again once it was accepted: what was revoked since is good again, unless revoked anew", async () => {
    const { url } = await serveSeeing();
    const keptBefore = readFileSync(head, "utf8");
    restore();
    await ask(`${url}/auth`, good);
    await desk.ask(`audit reconcile --accept --yes --head-file ${head}`);
    await until(async () => (await ask(`${url}/auth`, good)).status === 200);

    const revived = await ask(`${url}/auth`, leaked);
    await desk.ask("revoke leaver --yes");
    const revoked = await ask(`${url}/auth`, leaked);

    expect([revived.status, revoked.status]).toEqual([200, 401]);
    expect(readFileSync(`${head}.before`, "utf8")).toBe(`${keptBefore}\n`);
    expect(await desk.ask(`audit reconcile --head-file ${head}`)).toMatchObject({ growth: "goes_on" });
  });

  test("can be revoked in before it is accepted, so that nothing comes back to life", async () => {
    const { url } = await serveSeeing();
    restore();
    await desk.ask("revoke leaver --yes");

    await desk.ask(`audit reconcile --accept --yes --head-file ${head}`);
    await until(async () => (await ask(`${url}/auth`, good)).status === 200);

    expect((await ask(`${url}/auth`, leaked)).status).toBe(401);
  });
});

describe("a head file", () => {
  let desk: Desk;
  beforeAll(async () => {
    desk = await openDesk();
    await desk.identity("bot");
  });
  afterAll(() => desk.dispose());

  test.each([
    ["holds something else", "hello\n", 2, /is no head of a log/],
    [
      "holds another log's head",
      `midctl/other\n1\n${Buffer.alloc(32).toString("base64")}\n`,
      5,
      /of another log/,
    ],
  ])("that %s is refused before anything listens", async (_, text, code, says) => {
    const path = join(desk.directory, `wrong-${code}`);
    writeFileSync(path, text);
    const running = startProgram(["serve", "--listen", "127.0.0.1:0"], {
      ...desk.env,
      MIDCTL_HEAD_FILE: path,
    });

    expect(await running.ended).toMatchObject({ code });
    expect([running.stdout(), running.stderr()]).toEqual(["", expect.stringMatching(says)]);
    expect(readFileSync(path, "utf8")).toBe(text);
  });

  test("that cannot be written is refused before anything listens", async () => {
    const running = startProgram(
      ["serve", "--listen", "127.0.0.1:0", "--head-file", "/nowhere/head"],
      desk.env,
    );

    expect(await running.ended).toMatchObject({ code: 2 });
    expect(running.stderr()).toContain("/nowhere/head");
  });

  test("can be the context's", async () => {
    const path = join(desk.directory, "of-context");
    await desk.ask(["context", "set", "here", "--database-url", desk.url, "--head-file", path]);
    await startServe({ ...desk.env, MIDCTL_DATABASE_URL: "", MIDCTL_CONTEXT: "here" });

    expect(parseKeptHead(readFileSync(path, "utf8"))?.size).toBeGreaterThan(0);
    expect(await desk.ask("context show --context here")).toMatchObject({
      settings: { headFile: { value: path, source: "context" } },
    });
  });

  test("is kept by mcp too, which says why it serves nobody", async () => {
    const { token } = await desk.activeCredential("bot");
    const [bearer, path] = [join(desk.directory, "bearer"), join(desk.directory, "of-mcp")];
    writeFileSync(bearer, `${token}\n`, { mode: 0o600 });
    const { origin, size, root } = await desk.ask("audit checkpoint");
    writeFileSync(path, `${origin}\n${size + 3}\n${root}\n`);

    const refused = await desk.run(`mcp --stdio --token-file ${bearer} --head-file ${path}`);

    expect([refused.code, refused.stderr]).toEqual([7, expect.stringMatching(/were seen/)]);
  });

  test.each([
    ["no file is named", "audit reconcile", 2, /No head file is named/],
    ["there is none", "audit reconcile --head-file ./nothing", 3, /no head in/],
  ])("is not reconciled where %s", async (_, words, exit, message) => {
    expect(await desk.refuse(words)).toMatchObject({ exit, message: expect.stringMatching(message) });
  });
});
