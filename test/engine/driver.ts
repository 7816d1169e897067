import { writeSync } from "node:fs";
import { inspectEngine, startEngine, stopEngine } from "../../src/db/engine/engine.ts";
import { thisHost } from "../../src/db/engine/host.ts";
import { locateStore } from "../../src/db/engine/location.ts";
import { MidctlError } from "../../src/domain/errors.ts";

/** `driver.mjs start|stop|inspect`: a command of midctl's reduced to its engine, for tests that need a process. */
async function main(verb: string | undefined): Promise<void> {
  const { PREPARED: prepared, PACKAGE: main } = process.env;
  const host = {
    ...thisHost(),
    ...(prepared === undefined ? {} : { findPreparedDir: () => prepared }),
    ...(main === undefined ? {} : { resolvePackage: () => main }),
  };
  const store = locateStore(process.env);
  const notices: string[] = [];
  const act = {
    start: () => startEngine(store, { host, notice: (line) => notices.push(line), patience: 20_000 }),
    stop: () => stopEngine(store, { host }),
    inspect: () => inspectEngine(store, host),
  }[verb ?? ""];
  writeSync(1, `${JSON.stringify({ ...(await act?.()), notices })}\n`);
}

main(process.argv[2]).catch((error: unknown) => {
  const told =
    error instanceof MidctlError
      ? { code: error.code, message: error.message, hint: error.hint }
      : String(error);
  writeSync(2, `${JSON.stringify(told)}\n`);
  process.exitCode = error instanceof MidctlError ? 7 : 1;
});
