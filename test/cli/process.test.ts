import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { runCli } from "../support/cli.ts";
import { makeDirectory } from "./support/world.ts";

const root = resolve(import.meta.dirname, "../..");
const program = join(root, "bin/midctl.cjs");

function homeEnvironment(extra: Record<string, string> = {}) {
  const home = makeDirectory();
  return {
    PATH: process.env.PATH ?? "",
    HOME: home,
    XDG_CACHE_HOME: join(home, "cache"),
    XDG_CONFIG_HOME: join(home, "config"),
    ...extra,
  };
}

/** Runs a line of shell in which `midctl` is the program. */
function shell(line: string, env: Record<string, string> = homeEnvironment()) {
  const script = `midctl() { "${process.execPath}" "${program}" "$@"; }; ${line}`;
  const { status, stdout, stderr } = spawnSync("bash", ["--norc", "-c", script], { env, encoding: "utf8" });
  return { code: status, stdout, stderr };
}

describe("stdout", () => {
  test("on a full disk is an error, not silence", () => {
    const { code, stderr } = shell("midctl help states >/dev/full");

    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: The result could not be written to stdout \(ENOSPC\)/);
  });

  test("on a full disk is an error for the static help as well", () => {
    expect(shell("midctl --help >/dev/full").code).toBe(1);
  });

  test.each(["midctl --help", "midctl help states", "midctl completion bash"])(
    "closed by its reader ends `%s` quietly",
    (command) => {
      const { code, stderr } = shell(`set -o pipefail; ${command} | true`);

      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    },
  );

  test("is written whole through a pipe that is read slowly", () => {
    const env = homeEnvironment();
    const contexts = Object.fromEntries(
      Array.from({ length: 3_000 }, (_, index) => [`context-${index}`, { actor: "a".repeat(60) }]),
    );
    mkdirSync(join(env.XDG_CONFIG_HOME, "midctl"), { recursive: true });
    writeFileSync(
      join(env.XDG_CONFIG_HOME, "midctl/config.json"),
      JSON.stringify({ current: null, contexts }),
    );

    const { code, stdout } = shell("midctl context list --json | (sleep 0.3; cat)", env);

    expect(code).toBe(0);
    expect(JSON.parse(stdout).contexts).toHaveLength(3_000);
  });
});

describe("errors", () => {
  test("of the command line exit 2, with nothing on stdout", async () => {
    const { code, stdout, stderr } = await runCli(["context", "lsit"]);

    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("did you mean `midctl context list`?");
  });

  test("with --json are one JSON line on stderr, even where argv itself is wrong", async () => {
    const { code, stdout, stderr } = await runCli(["--json", "context", "lsit"]);

    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(JSON.parse(stderr).error).toMatchObject({ code: "usage", details: {} });
  });

  test("have a stack only with --debug", async () => {
    const quiet = await runCli(["context", "use", "gone"]);
    const loud = await runCli(["context", "use", "gone", "--debug"]);

    expect(quiet.stderr).not.toMatch(/^\s+at /m);
    expect(loud.stderr).toMatch(/^\s+at /m);
  });
});

describe("signals", () => {
  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)(
    "%s while stdin is awaited exits %i and says that nothing was changed",
    async (signal, code) => {
      const child = spawn(
        process.execPath,
        [program, "context", "set", "x", "--database-url-stdin", "--debug"],
        {
          env: homeEnvironment(),
        },
      );
      let stderr = "";
      const ended = new Promise<number | null>((resolveEnd) => child.on("close", resolveEnd));

      child.stderr.on("data", (chunk) => {
        stderr += chunk;
        if (stderr.includes("run context set")) child.kill(signal);
      });

      expect(await ended).toBe(code);
      expect(stderr).toContain("error: Interrupted; nothing was changed.");
    },
  );
});

describe("a question on a terminal", () => {
  test("asks for what is missing, on stderr's terminal", async () => {
    const env = homeEnvironment();

    const { shown } = await answerOnTerminal("context set", "(NAME)", "lab\r", env);

    expect(shown).toContain("(NAME)");
    expect(readFileSync(join(env.XDG_CONFIG_HOME, "midctl/config.json"), "utf8")).toContain('"lab"');
  });

  test("asks again after an answer that will not do", async () => {
    const env = homeEnvironment();

    const { shown } = await answerOnTerminal(
      "context set",
      "(NAME)",
      "LAB\r",
      env,
      "lower-case",
      "\u0015lab\r",
    );

    expect(shown).toContain("must be lower-case");
    expect(readFileSync(join(env.XDG_CONFIG_HOME, "midctl/config.json"), "utf8")).toContain('"lab"');
  });

  test("ends with exit 130 and no change on Ctrl-C", async () => {
    const env = homeEnvironment();

    const { code, shown } = await answerOnTerminal("context set", "(NAME)", "\u0003", env);

    expect(shown).toContain("Interrupted at the question; nothing was changed.");
    expect(code).toBe(130);
    expect(existsSync(join(env.XDG_CONFIG_HOME, "midctl"))).toBe(false);
  });

  test("is not asked with --no-input", async () => {
    const { code, shown } = await answerOnTerminal("context set --no-input", "never", "", homeEnvironment());

    expect(shown).toContain("NAME is missing");
    expect(code).toBe(2);
  });
});

/**
 * Runs a command on a terminal, lent by util-linux's `script`, and types each answer when its question is seen. Typed
 * before that, it would be echoed by the terminal and never reach the question.
 */
function answerOnTerminal(
  command: string,
  question: string,
  answer: string,
  env: Record<string, string>,
  ...more: string[]
) {
  const exchange = [question, answer, ...more];
  return new Promise<{ code: number | null; shown: string }>((resolveEnd, reject) => {
    const child = spawn("script", ["-qec", `"${process.execPath}" "${program}" ${command}`, "/dev/null"], {
      env: { ...env, TERM: "xterm", SHELL: "/bin/sh" },
      timeout: 30_000,
    });
    let shown = "";
    child.stdout.on("data", (chunk) => {
      shown += chunk;
      const [awaited, typed] = exchange;
      if (awaited === undefined || typed === undefined || !shown.includes(awaited)) return;
      exchange.splice(0, 2);
      child.stdin.write(typed);
    });
    child.on("error", reject);
    child.on("close", (code) => resolveEnd({ code, shown }));
  });
}

test("an answer from a pipe is not taken: `yes | midctl` confirms nothing", () => {
  const { code, stderr } = shell("yes | midctl context set");

  expect(code).toBe(2);
  expect(stderr).toContain("NAME is missing");
});

describe("the launcher", () => {
  const cacheOf = (env: { XDG_CACHE_HOME: string }) => join(env.XDG_CACHE_HOME, "midctl/code");
  const run = (env: Record<string, string>, ...nodeFlags: string[]) =>
    execFileSync(process.execPath, [...nodeFlags, program, "--version"], { env, encoding: "utf8" });

  test("of a clone that is not built yet says how to build it", () => {
    const clone = makeDirectory();
    mkdirSync(join(clone, "bin"));
    cpSync(program, join(clone, "bin/midctl.cjs"));

    for (const argument of ["--help", "list"]) {
      const { status, stdout, stderr } = spawnSync(
        process.execPath,
        [join(clone, "bin/midctl.cjs"), argument],
        {
          encoding: "utf8",
        },
      );
      expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
      expect(stderr).toContain("npm run build");
    }
  });

  test("prints the help of this very source", async () => {
    const { stdout } = await runCli(["--help"]);
    const { renderRootHelp } = await import("../../src/cli/help.ts");

    expect(stdout).toBe(await renderRootHelp());
  });

  test("keeps compiled code privately, and only once", () => {
    const env = homeEnvironment();

    run(env);
    const [first] = readdirSync(cacheOf(env));
    const written = statSync(join(cacheOf(env), first ?? "")).mtimeMs;
    run(env);

    expect(readdirSync(cacheOf(env))).toEqual([first]);
    expect(statSync(join(cacheOf(env), first ?? "")).mtimeMs).toBe(written);
    expect(statSync(join(cacheOf(env), first ?? "")).mode & 0o777).toBe(0o600);
    expect(statSync(cacheOf(env)).mode & 0o777).toBe(0o700);
  });

  test.each(["truncated", "garbage"])("works beside a cache that is %s, and replaces it", (kind) => {
    const env = homeEnvironment();
    const version = run(env);
    const [name] = readdirSync(cacheOf(env));
    const place = join(cacheOf(env), name ?? "");
    const whole = readFileSync(place);
    writeFileSync(place, kind === "garbage" ? Buffer.alloc(whole.length, 7) : whole.subarray(0, 1_000));

    expect(run(env)).toBe(version);
    expect(statSync(place).size).toBeGreaterThan(1_000);
  });

  test("trusts no directory that others can write to", () => {
    const env = homeEnvironment();
    run(env);
    chmodSync(cacheOf(env), 0o777);
    const [name] = readdirSync(cacheOf(env));
    const place = join(cacheOf(env), name ?? "");
    writeFileSync(place, "planted");

    run(env);

    expect(readFileSync(place, "utf8")).toBe("planted");
  });

  test("follows no link out of its directory", () => {
    const env = homeEnvironment();
    const elsewhere = makeDirectory();
    mkdirSync(join(env.XDG_CACHE_HOME, "midctl"), { recursive: true });
    symlinkSync(elsewhere, cacheOf(env));

    run(env);

    expect(readdirSync(elsewhere)).toEqual([]);
  });

  test("gives Node with other flags a cache of its own", () => {
    const env = homeEnvironment();

    run(env);
    run(env, "--no-opt");

    expect(readdirSync(cacheOf(env))).toHaveLength(2);
  });

  test("works without any home, and where the cache cannot be written", () => {
    const file = join(makeDirectory(), "file");
    writeFileSync(file, "");

    expect(run({ PATH: process.env.PATH ?? "" })).toContain("midctl");
    expect(run(homeEnvironment({ XDG_CACHE_HOME: join(file, "cache") }))).toContain("midctl");
  });

  if (process.platform === "linux") {
    test("ends where a file system makes no directory and says that its parent is missing", () => {
      const env = homeEnvironment({ XDG_CACHE_HOME: "/proc" });

      const { status, stdout } = spawnSync(process.execPath, [program, "--version"], {
        env,
        encoding: "utf8",
        timeout: 20_000,
      });

      expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringContaining("midctl") });
    });
  }
});
