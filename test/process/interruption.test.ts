import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { scrubEnvironment } from "../support/cli.ts";
import { listen } from "../support/proxy.ts";
import { type Desk, holdIdentity, openDesk } from "./desk.ts";

const PROGRAM = fileURLToPath(new URL("../../bin/midctl.cjs", import.meta.url));

let desk: Desk;
let slug: string;
let count = 0;

beforeAll(async () => {
  desk = await openDesk();
});
afterAll(() => desk.dispose());
beforeEach(async () => {
  slug = `bot-${++count}`;
  await desk.identity(slug);
});

/** Starts a command whose stdin stays open. */
function start(words: string, env: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, [PROGRAM, ...words.split(" ")], {
    cwd: desk.directory,
    env: scrubEnvironment({ ...desk.env, ...env }),
  });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString("utf8");
  });
  const ended = new Promise<{ code: number | null; stderr: string }>((resolve) => {
    child.on("close", (code) => resolve({ code, stderr }));
  });
  return { child, ended, said: (text: string) => untilSaid(child.stderr, () => stderr, text) };
}

function untilSaid(stream: NodeJS.ReadableStream, soFar: () => string, text: string): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!soFar().includes(text)) return;
      stream.off("data", look);
      resolve();
    };
    stream.on("data", look);
    look();
  });
}

describe("a change that waits for another session's lock", () => {
  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)(
    "ends on %s with exit %i, says that it was under way, and did not happen",
    async (signal, code) => {
      const held = await holdIdentity(desk, slug);
      const { child, ended } = start(`pause ${slug}`);
      await held.waiting(1);
      child.kill(signal);

      expect(await ended).toEqual({
        code,
        stderr: expect.stringMatching(/^error: Interrupted while the change was under way; .*midctl audit/),
      });

      await held.release();
      expect(await desk.ask(["pause", slug])).toMatchObject({ results: [{ changed: true }] });
    },
  );

  it("says so to a script in one line of JSON", async () => {
    const held = await holdIdentity(desk, slug);
    const { child, ended } = start(`pause ${slug} --json`);
    await held.waiting(1);
    child.kill("SIGINT");

    expect(JSON.parse((await ended).stderr).error).toMatchObject({ code: "interrupted" });
    await held.release();
  });

  it("leaves the token file of an interrupted issue for the retry, which works", async () => {
    const words = `credential issue ${slug} --token-file ./interrupted`;
    const held = await holdIdentity(desk, slug);
    const { child, ended } = start(words);
    await held.waiting(1);
    child.kill("SIGINT");
    expect((await ended).code).toBe(130);
    await held.release();

    const token = readFileSync(join(desk.directory, "interrupted"), "utf8");
    expect((await desk.run("verify --json", { stdin: token })).stdout).toContain('"unknown"');

    expect(await desk.ask(words)).toMatchObject({ created: true });
    expect(readFileSync(join(desk.directory, "interrupted"), "utf8")).toBe(token);
    expect((await desk.run("verify", { stdin: token })).code).toBe(0);
  });

  it("of many says how many were done", async () => {
    const other = await desk.identity(`${slug}-other`);
    const held = await holdIdentity(desk, other);
    const { child, ended } = start(`pause ${slug} ${other} --yes`);
    await held.waiting(1);
    child.kill("SIGINT");

    expect((await ended).stderr).toContain("1 of 2");
    await held.release();
    expect(await desk.ask(["identity", "show", slug])).toMatchObject({ identity: { status: "paused" } });
    expect(await desk.ask(["identity", "show", other])).toMatchObject({ identity: { status: "active" } });
  });
});

describe("an interruption before anything began", () => {
  it("while a token is awaited on stdin is exit 130", async () => {
    const { child, ended, said } = start("verify --debug");
    await said("run verify");
    child.kill("SIGINT");

    expect(await ended).toMatchObject({ code: 130, stderr: expect.stringContaining("Interrupted") });
  });

  it("while the database does not answer is exit 130, and says that nothing was changed", async () => {
    const silent = createServer();
    const url = `postgres://u@127.0.0.1:${await listen(silent)}/x`;
    const connected = new Promise((resolve) => silent.once("connection", resolve));
    const { child, ended } = start(`pause ${slug}`, { MIDCTL_DATABASE_URL: url });
    await connected;
    child.kill("SIGINT");

    expect(await ended).toMatchObject({ code: 130, stderr: expect.stringContaining("othing was changed") });
    silent.close();
  });
});
