import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Desk, openDesk } from "./desk.ts";

/** The file that decides which database is written to. */
const isRoot = process.getuid?.() === 0;
/** A user that is neither root nor us. */
const STRANGER = 54321;

let desk: Desk;
let file: string;

beforeAll(async () => {
  desk = await openDesk();
  file = join(desk.env.XDG_CONFIG_HOME ?? "", "midctl", "config.json");
});
afterAll(() => desk.dispose());
beforeEach(() => {
  rmSync(dirname(file), { recursive: true, force: true });
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
});

/** Nothing but the file says where the database is. */
const byFile = { env: { MIDCTL_DATABASE_URL: undefined } };

function write(content: unknown, mode = 0o600): void {
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content), { mode });
  chmodSync(file, mode);
}
const good = () => ({ current: "lab", contexts: { lab: { databaseUrl: desk.url, actor: "carol" } } });

describe("a context file", () => {
  it("names database and actor", async () => {
    write(good());

    await desk.ask("identity create by-context --owner x", {
      env: { MIDCTL_DATABASE_URL: undefined, MIDCTL_ACTOR: undefined },
    });

    expect((await desk.ask("audit --identity by-context")).events[0].actor.name).toBe("carol");
  });

  it.each([
    [
      "with an unknown key",
      { current: null, contexts: { lab: { databaseURL: "x" } } },
      "contexts.lab.databaseURL",
    ],
    ["with an unknown key at the top", { current: null, contexts: {}, protectd: true }, "protectd"],
    [
      "with a value of the wrong kind",
      { current: null, contexts: { lab: { actor: 7 } } },
      "contexts.lab.actor",
    ],
    ["that is no JSON", "{ current: lab }", "not JSON"],
    ["that is empty", "", "not JSON"],
    ["whose current context is not there", { current: "prod", contexts: {} }, "no context prod"],
  ])("%s is exit 2, naming what is wrong, and nothing is done", async (_, content, named) => {
    write(content);

    const refusal = await desk.refuse("identity create never --owner x", byFile);

    expect(refusal).toMatchObject({ exit: 2, code: "usage" });
    expect(refusal.message).toContain(named);
    expect((await desk.run("identity show never")).code).toBe(3);
  });

  it.each([0o666, 0o620, 0o602])(
    "that others can write (%o) is exit 2, with the command that mends it",
    async (mode) => {
      write(good(), mode);

      expect(await desk.refuse("list", byFile)).toMatchObject({
        exit: 2,
        hint: expect.stringContaining(`chmod 600 ${file}`),
      });
    },
  );

  it("that others can read works, and doctor warns of it", async () => {
    write(good(), 0o644);

    const { stdout } = await desk.run("doctor --json", byFile);

    expect(JSON.parse(stdout).findings).toContainEqual(
      expect.objectContaining({ check: "permissions", severity: "warning", mend: `chmod 600 ${file}` }),
    );
  });

  it.runIf(isRoot)("that belongs to another user is exit 2", async () => {
    write(good());
    chownSync(file, STRANGER, STRANGER);

    expect((await desk.refuse("list", byFile)).message).toContain("another user");
  });

  it("that is a directory, or a link to nothing, is said", async () => {
    mkdirSync(file);
    expect(await desk.refuse("list", byFile)).toMatchObject({ exit: 2 });
    rmSync(file, { recursive: true });
    symlinkSync("/nowhere", file);
    expect((await desk.run("context list", byFile)).code).toBe(0);
  });

  it("that no directory can be made for is said, on a file system that answers oddly, too", async () => {
    const result = await desk.run("context set lab", { env: { XDG_CONFIG_HOME: "/proc" }, timeout: 20_000 });

    expect(result.code).toBe(2);
    expect(result.stderr).toContain("cannot be written");
  });

  it("that is broken does not keep anybody from help", async () => {
    write("{");
    for (const words of ["help tokens", "--help", "version --help", "list --help"]) {
      expect((await desk.run(words)).code).toBe(0);
    }
  });

  it("that `context set` makes is private, holds a password that nobody is shown, and is kept whole", async () => {
    rmSync(dirname(file), { recursive: true });
    await desk.ask("context set prod --database-url-stdin --use", {
      stdin: "postgres://u:hunter2@127.0.0.1:1/x\n",
    });

    expect(statSync(file).mode & 0o7777).toBe(0o600);
    expect(statSync(dirname(file)).mode & 0o7777).toBe(0o700);
    for (const words of [
      "context list",
      "context show",
      "context show prod",
      "list --debug",
      "status --debug",
    ]) {
      for (const format of ["plain", "json"]) {
        const { stdout, stderr } = await desk.run(`${words} --output ${format}`, byFile);
        expect(stdout + stderr).not.toContain("hunter2");
      }
    }
    const refusal = await desk.refuse("context set prod --database-url mysql://u@h/x", byFile);
    expect(refusal.exit).toBe(2);
    expect((await desk.ask("context show prod", byFile)).context.databaseUrl).toBe(
      "postgres://u:***@127.0.0.1:1/x",
    );
  });

  it("is not touched by a dry run, nor by a context that is not there", async () => {
    await desk.ask("context set lab --actor x --dry-run");
    expect(existsSync(file)).toBe(false);
    write(good());
    expect(await desk.refuse("context use prod")).toMatchObject({ exit: 3, hint: "there are: lab" });
    expect(await desk.refuse("context remove prod")).toMatchObject({ exit: 3 });
  });
});

describe("where a setting comes from", () => {
  it("is the flag before the environment before the context before the default", async () => {
    write({ current: "lab", contexts: { lab: { actor: "by-file" } } });
    const actor = async (words: string, env: Record<string, string | undefined>) =>
      (await desk.ask(words, { env })).settings.actor;

    expect(await actor("context show --actor by-flag", { MIDCTL_ACTOR: "by-env" })).toEqual({
      value: "by-flag",
      source: "flag",
    });
    expect(await actor("context show", { MIDCTL_ACTOR: "by-env" })).toEqual({
      value: "by-env",
      source: "environment",
    });
    expect(await actor("context show", { MIDCTL_ACTOR: undefined })).toEqual({
      value: "by-file",
      source: "context",
    });
    rmSync(file);
    expect(await actor("context show", { MIDCTL_ACTOR: undefined })).toMatchObject({ source: "default" });
  });
});
