import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { createContext, createProgress, type VerbContext, type World } from "../../../src/cli/context.ts";
import type { GlobalFlags } from "../../../src/cli/globals.ts";
import { runProgram } from "../../../src/cli/run.ts";
import { type Environment, resolveSettings } from "../../../src/cli/settings.ts";
import { OutputFailure, type Terminal } from "../../../src/cli/terminal.ts";
import { MidctlError } from "../../../src/domain/errors.ts";

export interface WorldOptions {
  readonly env?: Environment;
  readonly stdin?: string;
  /** Whether stdin, stdout and stderr are terminals. */
  readonly onTerminal?: boolean;
  readonly columns?: number;
  /** What every write to stdout fails with. */
  readonly stdoutFails?: string;
  readonly openDatabase?: World["openDatabase"];
}

/** A world without a process: what was written is in `written`. */
export function makeWorld(options: WorldOptions = {}) {
  const written = { stdout: "", stderr: "" };
  const write = async (text: string): Promise<void> => {
    if (options.stdoutFails !== undefined) throw new OutputFailure(options.stdoutFails);
    written.stdout += text;
  };
  const onTerminal = options.onTerminal === true;
  const terminal: Terminal = {
    stdinIsTerminal: onTerminal,
    stdoutIsTerminal: onTerminal,
    stderrIsTerminal: onTerminal,
    columns: () => options.columns ?? 80,
    rows: () => 40,
    writeResult: write,
    writeSecret: write,
    writeMessage: (text) => {
      written.stderr += text;
    },
    writeProgress: () => {},
    readInput: async () => options.stdin ?? "",
    async *readChunks() {
      yield Buffer.from(options.stdin ?? "");
    },
  };
  const world: World = {
    env: { TERM: "dumb", XDG_CONFIG_HOME: "/nonexistent", ...options.env },
    terminal,
    now: () => Date.parse("2026-03-01T12:00:00Z"),
    openDatabase:
      options.openDatabase ??
      (async () => {
        throw new MidctlError("internal", "this test has no database");
      }),
  };
  return { world, written };
}

/** Runs a command line in this process. */
export async function runInWorld(argv: readonly string[], options: WorldOptions = {}) {
  const { world, written } = makeWorld(options);
  const code = await runProgram(argv, world, createProgress());
  return { code, ...written };
}

export const noFlags: GlobalFlags = {
  json: false,
  output: undefined,
  fields: undefined,
  quiet: false,
  noInput: false,
  yes: false,
  dryRun: false,
  reason: undefined,
  context: undefined,
  databaseUrl: undefined,
  trustDir: undefined,
  actor: undefined,
  noColor: false,
  debug: false,
};

/** A verb's context in a world of its own. */
export function makeContext(flags: Partial<GlobalFlags> = {}, options: WorldOptions = {}) {
  const { world, written } = makeWorld(options);
  const all = { ...noFlags, ...flags };
  const settings = resolveSettings(all, world.env, world.terminal.stdoutIsTerminal, () => ({
    current: null,
    contexts: {},
  }));
  const progress = createProgress();
  const context: VerbContext = createContext(world, settings, all, progress);
  return { context, written, progress };
}

/** A directory that goes with the test. */
export function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "midctl-test-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
