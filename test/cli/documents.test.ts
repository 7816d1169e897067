import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parseWords, readInput } from "../../src/cli/parse.ts";
import { registry } from "../../src/cli/registry.ts";
import { routeArgv } from "../../src/cli/route.ts";
import { topics } from "../../src/cli/topics.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Commands of midctl in the blocks for a shell, as they would be typed, each once. */
function commandsOf(text: string): string[] {
  const blocks = [...text.matchAll(/^```(sh|console)\n(.*?)^```/gms)];
  const lines = blocks.flatMap(([, kind, block = ""]) =>
    block
      .split("\n")
      .flatMap((line) => (kind === "sh" ? [line] : line.startsWith("$ ") ? [line.slice(2)] : [])),
  );
  const commands = lines
    .map((line) => line.replace(/(^|\s)#.*/, ""))
    .flatMap((line) => line.match(/(?<![\w./"-])midctl [^|&<>)]*/g) ?? []);
  return [...new Set(commands.map((command) => command.replace(/ 2$/, "").trim()))];
}

/** As a shell takes words apart; a variable stands for a word of its own. */
function wordsOf(command: string): string[] {
  const words = command.match(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g) ?? [];
  return words.slice(1).map((word) => word.replace(/["']/g, "").replace(/^\$ap$/, "ap_7Zk2mPq90aBc"));
}

async function accept(words: readonly string[]): Promise<void> {
  const route = routeArgv(words);
  if (route.kind === "help") return;
  const verb = await route.entry.load();
  await readInput(verb, parseWords(verb, route.words).raw, async ({ name }) => {
    throw new Error(`${name} is missing`);
  });
}

/** docs/commands.md is generated, with examples that are tested where they stand. */
const documents = ["README.md", ...readdirSync(`${ROOT}docs`).map((name) => `docs/${name}`)].filter(
  (name) => name.endsWith(".md") && name !== "docs/commands.md",
);

describe.each(documents)("in %s", (document) => {
  const text = readFileSync(`${ROOT}${document}`, "utf8");
  const commands = commandsOf(text);

  if (commands.length > 0) {
    test.each(commands)("`%s` is a command with these options", async (command) => {
      await expect(accept(wordsOf(command))).resolves.toBeUndefined();
    });
  }

  test("every file and topic that it names is there", () => {
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, link = ""]) => link);
    const base = document.startsWith("docs/") ? "docs/" : "";
    for (const link of links) expect(() => readdirOrFile(`${ROOT}${base}${link}`), link).not.toThrow();
    for (const [, topic = ""] of text.matchAll(/`midctl help ([a-z][a-z-]*)`/g)) {
      expect([...Object.keys(topics), ...registry.map(({ path }) => path)]).toContain(topic);
    }
  });
});

test("docs/approvals.md shows each command of approvals", () => {
  const text = readFileSync(`${ROOT}docs/approvals.md`, "utf8");

  for (const { path } of registry.filter((entry) => entry.path.startsWith("approval "))) {
    expect(text).toContain(`midctl ${path}`);
  }
});

const analyze = spawnSync("systemd-analyze", ["--version"]).error === undefined;
const UNITS = `${ROOT}docs/systemd`;

test.runIf(analyze)("the units in docs/systemd are good ones, as systemd says", () => {
  const units = readdirSync(UNITS).map((name) => `${UNITS}/${name}`);

  const { status, stderr } = spawnSync("systemd-analyze", ["verify", ...units], { encoding: "utf8" });

  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
});

describe.each(readdirSync(UNITS).filter((name) => name.endsWith(".service")))("%s", (name) => {
  const unit = readFileSync(`${UNITS}/${name}`, "utf8");
  const [, script = "", command = ""] =
    /^ExecStart=\/bin\/sh -c '(.* exec \S*\/(midctl [^']*))'$/m.exec(unit) ?? [];

  test("runs a command that is one, with these options", async () => {
    await expect(accept(wordsOf(command))).resolves.toBeUndefined();
  });

  test("runs nothing where the password cannot be read", () => {
    const told = script
      .replaceAll("$$", "$")
      .replaceAll("%d", "/nonexistent")
      .replace(/exec \S*midctl/, "echo ran");

    const { status, stdout } = spawnSync("/bin/sh", ["-c", told], { encoding: "utf8" });

    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  });

  test("writes nowhere but where systemd lets it", () => {
    const [, state = ""] = /^StateDirectory=(.+)$/m.exec(unit) ?? [];

    for (const [, option = "", path = ""] of command.matchAll(/ --(\S+-(?:out|file)) (\S+)/g)) {
      expect(path, option).toMatch(`%S/${state}/`);
    }
  });
});

function readdirOrFile(path: string): void {
  try {
    readFileSync(path);
  } catch {
    readdirSync(path);
  }
}
