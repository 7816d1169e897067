import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { provisionAtOnce } from "../campaign/provision/storm.ts";
import { scrubEnvironment } from "../support/cli.ts";
import { type Desk, openDesk } from "./desk.ts";

/** Many hosts that provision the same threads at once. `npm run campaign:provision` does it with 500 threads. */
const PROGRAM = fileURLToPath(new URL("../../bin/midctl.cjs", import.meta.url));
const HOSTS = 8;
const THREADS = 10;

describe("eight hosts that provision the same threads", () => {
  let desk: Desk;
  let db: Database;
  beforeEach(async () => {
    desk = await openDesk();
    await desk.ask("db migrate");
    db = openPostgres({ url: desk.url });
  });
  afterEach(async () => {
    await db?.close();
    await desk?.dispose();
  });

  it.each([
    ["each into files of its own: one wins each thread, and the others are told so", false],
    ["all into the same files: each has the one secret, and one of them made it", true],
  ])("%s", async (_, shared) => {
    await expect(
      provisionAtOnce({
        ...{ threads: THREADS, hosts: HOSTS, shared, seed: 1, program: PROGRAM, db },
        env: scrubEnvironment(desk.env),
        directory: mkdtempSync(join(desk.directory, "storm-")),
      }),
    ).resolves.toEqual([]);
  });
});
