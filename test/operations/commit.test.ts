import { expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { CommitUnknown } from "../../src/db/failure.ts";
import { commitKnowingly } from "../../src/operations/change.ts";

/** A server that went during COMMIT, and then says this of the transaction. */
function lost(fate: string, uptime: number): Database {
  return {
    concurrent: true,
    transaction: async (work: (tx: never) => Promise<unknown>) => {
      await work({} as never);
      throw new CommitUnknown();
    },
    query: async () => [{ fate, uptime }],
  } as unknown as Database;
}

const outcome = (db: Database): Promise<unknown> =>
  commitKnowingly(db, async () => ({ transaction: "7", result: "done" })).catch((error: unknown) => error);

test("a commit that went unanswered is done where the server that took it says so", async () => {
  expect(await outcome(lost("committed", 3_600_000))).toBe("done");
});

test("it is unknown where the server was started since: the id may be another transaction's", async () => {
  expect(await outcome(lost("committed", -1))).toBeInstanceOf(CommitUnknown);
});

test("it did not happen where it was aborted, whenever the server was started", async () => {
  expect(await outcome(lost("aborted", -1))).toMatchObject({
    code: "unavailable",
    details: { commit: "aborted" },
  });
});
