import { rmSync } from "node:fs";
import type { TestProject } from "vitest/node";
import { findTestBinaries, type Launched, launch, makeScratch, type TestServer } from "./launcher.ts";
import { openPooler, type Pooler } from "./pooler.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The newest PostgreSQL, from npm, then the oldest supported where one is installed. */
    servers: TestServer[];
    /** A directory of this test run, shared by all its workers. */
    scratch: string;
  }
}

let launched: Launched[] = [];
let poolers: Pooler[] = [];
let scratch = "";

/** Called by vitest before the first test of a run. */
export async function setup(project: TestProject): Promise<void> {
  scratch = makeScratch();
  launched = await Promise.all(findTestBinaries().map((candidate) => launch(candidate, scratch)));
  const servers = launched.map(({ server }) => server);
  // `MIDCTL_TEST_POOLER=pgbouncer npx vitest run`: what a pooler cannot carry asks for the direct way.
  if (process.env.MIDCTL_TEST_POOLER === "pgbouncer") {
    poolers = await Promise.all(servers.map((server) => openPooler(server, scratch)));
  }
  project.provide(
    "servers",
    servers.map((server, index) => {
      const pooler = poolers[index]?.server;
      return pooler === undefined ? server : { ...server, pooler };
    }),
  );
  project.provide("scratch", scratch);
}

/** Called by vitest after the last. */
export async function teardown(): Promise<void> {
  await Promise.all(poolers.map(({ stop }) => stop()));
  await Promise.all(launched.map(({ stop }) => stop()));
  rmSync(scratch, { recursive: true, force: true });
}
