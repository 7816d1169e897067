/** The entry of the bundle that `bin/midctl.cjs` loads. */
import { createProgress, type World } from "./context.ts";
import { endProcess } from "./exit.ts";
import { watchForInterruption } from "./interruption.ts";
import { reportError, runProgram } from "./run.ts";
import { openTerminal } from "./terminal.ts";
import type { Verb } from "./verb.ts";

/** Runs midctl in this process and ends it. */
export async function main(argv: readonly string[]): Promise<never> {
  const world: World = {
    env: process.env,
    terminal: openTerminal(),
    now: () => Date.now(),
    openDatabase: async (settings, opening) => {
      const { openDatabase } = await import("./database.ts");
      return openDatabase(settings, opening);
    },
  };
  const progress = createProgress();
  let verb: Verb | undefined;
  watchForInterruption(
    progress,
    () => verb?.changes === true,
    (error) => endProcess(reportError(error, argv, world)),
  );
  const code = await runProgram(argv, world, progress, (loaded) => {
    verb = loaded;
  });
  if (code === 0 && verb !== undefined)
    finished = `${verb.path.join(" ")}${world.terminal.stdoutIsTerminal ? ":terminal" : ""}`;
  return endProcess(code);
}

let finished: string | undefined;

/** The command that came to its end, for the launcher, whose code cache grows by what each one compiled. */
export function finishedCommand(): string | undefined {
  return finished;
}
