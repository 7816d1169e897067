import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Desk, openDesk } from "./desk.ts";
import { findUnshare, runShell } from "./shell.ts";

const isRoot = process.getuid?.() === 0;
const UNSHARE = findUnshare();
/** A user that is neither root nor us. */
const STRANGER = 54321;

let desk: Desk;
let count = 0;
let slug: string;

beforeAll(async () => {
  desk = await openDesk();
});
afterAll(() => desk.dispose());
beforeEach(async () => {
  slug = `bot-${++count}`;
  await desk.identity(slug);
});

const shell = (script: string) => runShell(desk, script);

/** What the database holds of an identity's credentials: those that could authenticate, and all. */
async function credentialsOf(identity: string): Promise<string[]> {
  const rows = await desk.sql<{ status: string }>(
    `SELECT c.status FROM machine_identity_credential c JOIN machine_identity i ON i.id = c."machineIdentityId" WHERE i.slug = $1 ORDER BY c.id`,
    [identity],
  );
  return rows.map(({ status }) => status);
}

describe("a secret on stdout", () => {
  it("stands there alone, and works", async () => {
    const result = await desk.run(["credential", "issue", slug]);

    expect(result).toMatchObject({ code: 0, stdout: expect.stringMatching(/^mid_test_\w+\n$/) });
    expect(result.stderr).toContain(slug);
    expect(result.stderr).not.toContain(result.stdout.trim().slice(-20));
    expect((await desk.run("verify", { stdin: result.stdout })).code).toBe(0);
  });

  it("is all that --quiet leaves", async () => {
    const result = await desk.run(["credential", "issue", slug, "--quiet"]);

    expect(result).toMatchObject({ code: 0, stderr: "", stdout: expect.stringMatching(/^mid_test_\w+\n$/) });
  });

  it("is taken into a shell variable by a command substitution, which returns", () => {
    const { code, stdout } = shell(
      `t=$($midctl credential issue ${slug} --quiet) && echo "$t" | $midctl verify --json`,
    );

    expect({ code, verified: JSON.parse(stdout) }).toMatchObject({ code: 0, verified: { ok: true } });
  });

  it.each([
    ["a full device", ">/dev/full", "ENOSPC"],
    ["a closed descriptor", ">&-", "closed or the null device"],
    ["the null device", ">/dev/null", "closed or the null device"],
    ["a pipe that nobody reads", "| true", "EPIPE"],
  ])("that is %s is exit 74, and the row is revoked", async (_, redirection, why) => {
    for (const command of [`credential issue ${slug}`, `credential issue ${slug} --json`]) {
      // The reader is gone before the program starts; $? of the program, not of the pipe's end, is what counts.
      const piped = redirection.startsWith("|");
      const { stderr } = piped
        ? shell(`(sleep 0.05; $midctl ${command}; echo "exit $?" >&2) ${redirection}`)
        : shell(`$midctl ${command} ${redirection}; echo "exit $?" >&2`);

      expect(stderr).toContain("exit 74");
      expect(stderr).toContain(why);
      expect(stderr).toContain("was revoked");
      expect(stderr).not.toContain("mid_test_");
    }
    expect(await credentialsOf(slug)).toEqual(["revoked", "revoked"]);
  });

  it("that was not delivered in a rotation leaves the old credential working", async () => {
    const { token } = await desk.activeCredential(slug);

    expect(shell(`$midctl credential rotate ${slug} >/dev/full`).code).toBe(74);

    expect(await credentialsOf(slug)).toEqual(["active", "revoked"]);
    expect(await desk.ask("verify", { stdin: token })).toMatchObject({ ok: true });
    expect(await desk.ask(["credential", "rotate", slug])).toMatchObject({ created: true });
  });

  it("that was not delivered while --compromised revoked the old one says what stands", async () => {
    const { token } = await desk.activeCredential(slug);

    const { code, stderr } = shell(`$midctl credential rotate ${slug} --compromised --yes >/dev/full`);

    expect(code).toBe(74);
    expect(stderr).toMatch(/mc_\w{12} was revoked, and so, as asked, was mc_\w{12}/);
    expect((await desk.run("verify", { stdin: token })).code).toBe(4);
    expect(await credentialsOf(slug)).toEqual(["revoked", "revoked"]);
  });

  it("that cannot be delivered or revoked names the deadline after which it is nothing", async () => {
    // The revocation finds a database that became read-only after the issue.
    await desk.sql(
      `CREATE FUNCTION midctl_test_block() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '25006'; END $$`,
    );
    await desk.sql(
      `CREATE TRIGGER zz_test_block BEFORE UPDATE ON machine_identity_credential FOR EACH ROW EXECUTE FUNCTION midctl_test_block()`,
    );
    try {
      const { code, stderr } = shell(`$midctl credential issue ${slug} --activate-within 3h >/dev/full`);

      expect(code).toBe(74);
      expect(stderr).toMatch(/could not be revoked/);
      expect(stderr).toMatch(/until \d{4}-\d\d-\d\dT[\d:.]+Z/);
    } finally {
      await desk.sql("DROP FUNCTION midctl_test_block CASCADE");
    }
  });
});

describe("a result on stdout", () => {
  it("that nobody reads to the end is no failure", async () => {
    for (let each = 0; each < 3; each++) await desk.identity(`head-${each}`);
    const { code, stdout, stderr } = shell(`($midctl list; echo "exit $?" >&2) | head -1`);

    expect({ code, lines: stdout.split("\n").length }).toEqual({ code: 0, lines: 2 });
    expect(stderr).toBe("exit 0\n");
  });

  it("that nobody reads at all is no failure either, in any format", () => {
    for (const words of [
      "list --json",
      "list --all --output ndjson",
      "--help",
      "help states",
      "completion bash",
    ]) {
      expect(shell(`(sleep 0.05; $midctl ${words}; echo "exit $?" >&2) | true`).stderr).toBe("exit 0\n");
    }
  });

  it("on a full device is an error, never exit 0", () => {
    for (const words of ["list", "list --json", "status", "help states"]) {
      const { code, stderr } = shell(`$midctl ${words} >/dev/full`);

      expect(code).toBe(1);
      expect(stderr).toContain("ENOSPC");
    }
    expect(shell("$midctl --help >/dev/full").code).toBe(1);
  });

  it("of a change on a full device says that the change stands", async () => {
    const { code, stderr } = shell(`$midctl pause ${slug} >/dev/full`);

    expect(code).toBe(1);
    expect(stderr).toContain("what the command did stands");
    expect(await desk.ask(["identity", "show", slug])).toMatchObject({ identity: { status: "paused" } });
  });

  it("that is closed does not keep a command from its work", async () => {
    expect(shell(`$midctl pause ${slug} >&-`).code).toBe(0);
    expect(await desk.ask(["identity", "show", slug])).toMatchObject({ identity: { status: "paused" } });
  });

  it("of a closed stderr loses no error code", () => {
    expect(shell("$midctl identity show nobody 2>&-").code).toBe(3);
  });

  it("arrives whole where it is larger than a pipe", async () => {
    await desk.sql(
      `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner)
       SELECT lpad(n::text, 12, '0'), 'many-' || n, 'Many', 'service', 'x' FROM generate_series(1, 1200) n`,
    );

    const { stdout } = shell("$midctl list --all --json | (sleep 0.3; cat)");

    expect(JSON.parse(stdout).identities.length).toBeGreaterThanOrEqual(1200);
  });
});

describe("a token file", () => {
  const path = (name: string): string => join(desk.directory, `${slug}-${name}`);

  async function refused(file: string) {
    const refusal = await desk.refuse(["credential", "issue", slug, "--token-file", file]);
    expect(await credentialsOf(slug)).toEqual([]);
    return refusal;
  }

  it("is private, holds the token and a line feed, and nothing is on stdout but its path", async () => {
    const file = path("token");
    const document = await desk.ask(["credential", "issue", slug, "--token-file", file]);

    expect(document).toMatchObject({ token: null, tokenFile: file, created: true });
    expect(lstatSync(file).mode & 0o7777).toBe(0o600);
    expect(readFileSync(file, "utf8")).toMatch(/^mid_test_\w+\n$/);
    expect((await desk.run("verify", { stdin: readFileSync(file, "utf8") })).code).toBe(0);
  });

  it("is private under any umask", () => {
    const file = path("umask");
    expect(shell(`umask 0277; $midctl credential issue ${slug} --token-file ${file}`).code).toBe(0);
    expect(lstatSync(file).mode & 0o7777).toBe(0o600);
  });

  it("that holds something else is left alone", async () => {
    const file = path("occupied");
    writeFileSync(file, "precious", { mode: 0o600 });

    expect(await refused(file)).toMatchObject({ exit: 5, code: "conflict" });
    expect(readFileSync(file, "utf8")).toBe("precious");
  });

  it("that others can read is refused", async () => {
    const file = path("open");
    await desk.ask(["credential", "prepare", "--environment", "test", "--token-file", file]);
    chmodSync(file, 0o644);

    expect((await refused(file)).message).toContain("0644");
  });

  it("that is a symbolic link is refused, wherever it leads", async () => {
    const target = path("target");
    symlinkSync(target, path("dangling"));
    expect(await refused(path("dangling"))).toMatchObject({ exit: 5 });
    expect(existsSync(target)).toBe(false);

    writeFileSync(target, "precious", { mode: 0o600 });
    expect((await refused(path("dangling"))).message).toContain("symbolic link");
    expect(readFileSync(target, "utf8")).toBe("precious");
  });

  it("that is a directory, or lies in none, is refused with the way out", async () => {
    mkdirSync(path("directory"));
    expect(await refused(path("directory"))).toMatchObject({ exit: 5 });
    expect(await refused(join(path("missing"), "token"))).toMatchObject({
      exit: 2,
      hint: expect.stringContaining("mkdir -m 700"),
    });
  });

  it.runIf(isRoot)("that belongs to another user is refused", async () => {
    const file = path("foreign");
    await desk.ask(["credential", "prepare", "--environment", "test", "--token-file", file]);
    chownSync(file, STRANGER, STRANGER);

    expect((await refused(file)).message).toContain("belongs to another user");
  });

  it.runIf(UNSHARE !== null)("in a full directory is exit 74: no file, no row", async () => {
    mkdirSync(path("full"));
    const { code, stdout, stderr } = shell(
      `${UNSHARE} sh -c 'mount -t tmpfs -o size=4k full ${path("full")} && head -c 4096 /dev/zero >${path("full")}/ballast &&
       { $midctl credential issue ${slug} --json --token-file ${path("full")}/token; code=$?; ls -A ${path("full")}; exit $code; }'`,
    );

    expect({ code, stdout }).toEqual({ code: 74, stdout: "ballast\n" });
    expect(JSON.parse(stderr).error).toMatchObject({ code: "undeliverable", details: { errno: "ENOSPC" } });
    expect(await credentialsOf(slug)).toEqual([]);
  });

  it("that may not grow is exit 74: no file, no row", async () => {
    const { code, stderr } = shell(
      `ulimit -f 0; $midctl credential issue ${slug} --token-file ${path("limit")}`,
    );

    expect(code).toBe(74);
    expect(stderr).toContain("EFBIG");
    expect(existsSync(path("limit"))).toBe(false);
    expect(await credentialsOf(slug)).toEqual([]);
  });

  it("is taken back where the issue was refused", async () => {
    const file = path("taken-back");
    await desk.issue(slug);

    expect(await desk.refuse(["credential", "issue", slug, "--token-file", file])).toMatchObject({ exit: 5 });
    expect(existsSync(file)).toBe(false);
  });

  it("of another kind of environment is a conflict", async () => {
    const file = path("live");
    await desk.ask(["credential", "prepare", "--environment", "live", "--token-file", file]);

    expect((await refused(file)).message).toContain("live");
  });

  it("is not written by a dry run", async () => {
    const file = path("dry");
    expect(await desk.ask(["credential", "issue", slug, "--token-file", file, "--dry-run"])).toMatchObject({
      created: true,
      token: null,
    });
    expect(existsSync(file)).toBe(false);
    expect(await credentialsOf(slug)).toEqual([]);
  });

  it("written by two commands at once belongs to exactly one credential", async () => {
    const file = path("raced");
    const other = await desk.identity(`${slug}-other`);
    const results = await Promise.all(
      [slug, other].map((each) => desk.run(["credential", "issue", each, "--token-file", file])),
    );

    expect(results.map(({ code }) => code).sort()).toEqual([0, 5]);
    expect([...(await credentialsOf(slug)), ...(await credentialsOf(other))]).toEqual(["pending"]);
    expect(await desk.ask("verify", { stdin: readFileSync(file, "utf8") })).toMatchObject({ ok: true });
  });

  it("leaves no other file beside it, whatever happened", () => {
    expect(readdirSync(desk.directory).filter((name) => name.startsWith("."))).toEqual([]);
  });
});
