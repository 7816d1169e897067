import { rmSync } from "node:fs";
import type { TestProject } from "vitest/node";
import { findInstalled, findPackaged, launch, makeScratch, type TestServer } from "./launcher.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** PostgreSQL 18 from npm, then PostgreSQL 15 where one is installed. */
    servers: TestServer[];
    /** A directory of this test run, shared by all its workers. */
    scratch: string;
  }
}

let stop: () => Promise<void> = async () => undefined;

/** Called by vitest before the first test of a run. */
export async function setup(project: TestProject): Promise<void> {
  const scratch = makeScratch();
  const installed = findInstalled(15);
  const launched = await Promise.all([
    launch("PostgreSQL 18", findPackaged(scratch), scratch),
    ...(installed === null ? [] : [launch("PostgreSQL 15", installed, scratch)]),
  ]);
  stop = async () => {
    await Promise.all(launched.map((each) => each.stop()));
    rmSync(scratch, { recursive: true, force: true });
  };
  project.provide(
    "servers",
    launched.map(({ server }) => server),
  );
  project.provide("scratch", scratch);
}

/** Called by vitest after the last. */
export async function teardown(): Promise<void> {
  await stop();
}
