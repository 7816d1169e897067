import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { completionScript } from "../../src/cli/completion-scripts.ts";
import { writeContextFile } from "../../src/cli/contexts.ts";
import { makeDirectory, runInWorld } from "./support/world.ts";

async function complete(...words: string[]): Promise<string[]> {
  return (await completeIn({}, ...words)).map((line) => line.split("\t")[0] ?? "");
}

async function completeIn(env: Record<string, string>, ...words: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await runInWorld(["__complete", ...words], { env });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout.split("\n").filter((line) => line !== "");
}

describe("completion", () => {
  test("of the first word offers commands and nouns, with what they do", async () => {
    expect(await complete("con")).toEqual(["context"]);
    expect(await completeIn({}, "ver")).toContain("version\tShow the versions of midctl and what runs it");
  });

  test("after a noun offers its verbs", async () => {
    expect(await complete("context", "")).toEqual(["list", "show", "use", "set", "remove"]);
  });

  test("does not mind global options in between", async () => {
    expect(await complete("--context", "x", "context", "--json", "us")).toEqual(["use"]);
  });

  test("offers the options of the command and the global ones, but none twice", async () => {
    const options = await complete("context", "set", "x", "--use", "--");

    expect(options).toContain("--data-dir");
    expect(options).toContain("--unset");
    expect(options).toContain("--json");
    expect(options).not.toContain("--use");
  });

  test("offers the choices of an option, also after =", async () => {
    expect(await complete("context", "list", "--output", "j")).toEqual(["json"]);
    expect(await complete("context", "list", "--output=nd")).toEqual(["--output=ndjson"]);
  });

  test("offers the choices of an argument", async () => {
    expect(await complete("completion", "")).toEqual(["bash", "zsh", "fish"]);
  });

  test("leaves directories to the shell", async () => {
    expect(await complete("context", "set", "x", "--data-dir", "")).toEqual([":files"]);
  });

  test("offers live values: contexts", async () => {
    const env = { XDG_CONFIG_HOME: makeDirectory() };
    writeContextFile(env, { current: null, contexts: { prod: {}, lab: {} } });

    expect(await completeIn(env, "context", "use", "")).toEqual(["prod", "lab"]);
    expect(await completeIn(env, "--context", "l")).toEqual(["lab"]);
  });

  test("says nothing where a source of values fails", async () => {
    const env = { XDG_CONFIG_HOME: makeDirectory() };
    writeContextFile(env, { current: null, contexts: {} });
    writeFileSync(join(env.XDG_CONFIG_HOME, "midctl", "config.json"), "broken");

    expect(await completeIn(env, "context", "use", "")).toEqual([]);
    expect(await completeIn({}, "identity", "show", "")).toEqual([]);
  });

  test("offers nothing after a command that does not exist, or one that takes no more", async () => {
    expect(await complete("nonsense", "")).toEqual([]);
    expect(await complete("context", "use", "x", "")).toEqual([]);
  });
});

describe("the bash script", () => {
  test("puts the candidates into COMPREPLY, for words with = and : as well", () => {
    const directory = makeDirectory();
    writeFileSync(
      join(directory, "midctl"),
      `#!/bin/sh\nprintf '%s\\n' "$*" >> ${directory}/asked\nprintf 'alpha\\tfirst\\nbeta\\n'\n`,
      { mode: 0o755 },
    );
    const program = `${completionScript("bash")}
COMP_WORDS=(midctl context use "") COMP_CWORD=3; _midctl; printf '%s\\n' "\${COMPREPLY[@]}"`;

    const answer = execFileSync("bash", ["--norc", "-c", program], {
      env: { PATH: `${directory}:${process.env.PATH}` },
      encoding: "utf8",
    });

    expect(answer).toBe("alpha\nbeta\n");
    expect(execFileSync("cat", [join(directory, "asked")], { encoding: "utf8" })).toBe(
      "__complete context use \n",
    );
  });
});
