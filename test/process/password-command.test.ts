import { mkdirSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { runPasswordCommand, splitCommand } from "../../src/cli/password-command.ts";
import { type CliResult, runCli } from "../support/cli.ts";
import { runSql, urlOf } from "../support/databases.ts";
import type { Launched } from "../support/launcher.ts";
import { launchWithTls, tlsFile } from "../support/tls-server.ts";

describe("a password command", () => {
  it.each([
    ["op read op://team/db", ["op", "read", "op://team/db"]],
    [`sh -c 'echo "$HOME"; true'`, ["sh", "-c", 'echo "$HOME"; true']],
    [`get "two words" a\\ b 'it'"'"'s'`, ["get", "two words", "a b", "it's"]],
    ["echo $HOME `id` ;", ["echo", "$HOME", "`id`", ";"]],
  ])("is taken apart as by a shell, and nothing expanded: %s", (text, words) => {
    expect(splitCommand(text)).toEqual(words);
  });

  it.each(["", "  ", "op 'read", 'op "read', "op read\\"])("that is none is refused: %j", (text) => {
    expect(() => splitCommand(text)).toThrow(/empty or leaves a quote open/);
  });

  it("gives the first line of what it prints", async () => {
    expect(await runPasswordCommand("printf 'pass word\\nmore\\n'")).toBe("pass word");
  });

  it("gives it although what the command left running holds on to its output", async () => {
    expect(await runPasswordCommand("sh -c 'echo sesame; sleep 3 2>/dev/null &'", 10_000)).toBe("sesame");
  });

  it.each([
    [
      "ends badly",
      "sh -c 'echo hunter2; exit 3'",
      /^the password command sh ended with exit code 3; nothing was done/,
    ],
    ["is not there", "no-such-program hunter2", /no-such-program could not be started \(ENOENT\)/],
    ["prints nothing", "true", /printed no password/],
    ["takes too long", "sleep 600", /gave no password within 0.1 s/],
  ])("that %s is exit 7 and says so, without a word of its own", async (_, command, message) => {
    const failure = runPasswordCommand(command, command.startsWith("sleep") ? 100 : undefined);

    await expect(failure).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(message),
    });
    await expect(failure).rejects.not.toThrow(/hunter2/);
  });
});

describe("a context with a password command", () => {
  let launched: Launched;
  let home: string;
  const midctl = (...words: string[]): Promise<CliResult> =>
    runCli(words, { env: { HOME: home, XDG_CONFIG_HOME: join(home, "config") } });
  beforeAll(async () => {
    launched = await launchWithTls(inject("scratch"), "database");
    await runSql(
      urlOf(launched.server, "postgres"),
      "CREATE ROLE keyed LOGIN SUPERUSER PASSWORD 'open sesame'",
    );
    home = mkdtempSync(join(inject("scratch"), "home-"));
    mkdirSync(join(home, "config"));
    const url = `postgres://keyed@db.example:${launched.server.port}/postgres?hostaddr=127.0.0.1&sslrootcert=${tlsFile("authority.pem")}`;
    await midctl("context", "set", "prod", "--database-url", url, "--use");
  });
  afterAll(() => launched.stop());

  it("connects with what it prints, and shows no password anywhere", async () => {
    await midctl("context", "set", "prod", "--password-command", "sh -c 'echo asking >&2; echo open sesame'");

    const { code, stdout, stderr } = await midctl("db", "status", "--json", "--debug");

    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining("asking\n") });
    expect(stdout + stderr).not.toContain("open sesame");
  });

  it("is refused by the server where that is wrong", async () => {
    await midctl("context", "set", "prod", "--password-command", "echo wrong");

    const { code, stderr } = await midctl("db", "status");

    expect({ code, stderr }).toMatchObject({ code: 7, stderr: expect.stringContaining("user or password") });
  });

  it("runs it for what needs the database alone", async () => {
    await midctl("context", "set", "prod", "--password-command", "sh -c 'exit 9'");

    const [show, status] = await Promise.all([midctl("context", "show"), midctl("db", "status")]);

    expect([show.code, status.code]).toEqual([0, 7]);
    expect(status.stderr).toContain("ended with exit code 9");
  });
});
