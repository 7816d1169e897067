import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Database, Tx } from "../../src/db/database.ts";
import {
  type Checkpoint,
  parseCheckpoint,
  type SignedCheckpoint,
  writeNote,
} from "../../src/domain/checkpoint.ts";
import type { MidctlError } from "../../src/domain/errors.ts";
import { judgeProof, type LogProof, parseProof, proofDocument, writeProof } from "../../src/domain/proof.ts";
import { proveEntry, proveGrowth } from "../../src/operations/audit-prove.ts";
import { databases, type TestDatabase } from "../support/databases.ts";

const SIZE = 300;

describe.each(databases())("a proof from the log on $name", (factory) => {
  let database: TestDatabase;
  let db: Database;

  beforeAll(async () => {
    database = await factory.create();
    ({ db } = database);
    await growTo(db, SIZE);
  });
  afterAll(() => database.dispose());

  test("of any entry, first and last, has its exact text and holds by itself", async () => {
    for (const index of [0, 1, 3, 4, 63, 64, 255, 256, SIZE - 2, SIZE - 1]) {
      const proof = await proveEntry(db, index, "now", null);

      expect(proof).toMatchObject({
        index,
        entry: await entryAt(db, index),
        head: { size: SIZE, checkpoint: null },
      });
      expect(isSound(proof), String(index)).toBe(true);
    }
  });

  test("against an earlier checkpoint is one of that head, and carries its note", async () => {
    const checkpoint = await checkpointOf(db, 77);

    const proof = await proveEntry(db, 76, checkpoint, null);

    expect(proof.head).toEqual({ size: 77, root: checkpoint.root, checkpoint: writeNote(checkpoint) });
    expect(isSound(proof)).toBe(true);
  });

  test("has the head signed that is there now, under the log's origin", async () => {
    const asked: Omit<Checkpoint, "extensions">[] = [];
    const proof = await proveEntry(db, 5, "now", async (head) => {
      asked.push(head);
      return "the note";
    });

    expect(proof.head.checkpoint).toBe("the note");
    expect(asked).toEqual([{ origin: proof.origin, size: SIZE, root: proof.head.root }]);
  });

  test("takes three statements, and no more than 20 rows", async () => {
    const counted = counting(db);

    const checkpoint = await checkpointOf(db, SIZE - 1);

    for (const index of [0, 170, SIZE - 2]) {
      counted.reset();
      await proveEntry(counted.tx, index, checkpoint, null);
      expect(counted.statements()).toBe(3);
      expect(counted.rows()).toBeLessThanOrEqual(20);
    }
  });

  test("of a log that went on from an earlier size, or from a checkpoint, holds by itself", async () => {
    for (const first of [0, 1, 2, 64, 77, 256, SIZE - 1, SIZE]) {
      expect(isSound(await proveGrowth(db, first, "now", null)), `from ${first}`).toBe(true);
      expect(isSound(await proveGrowth(db, await checkpointOf(db, first), SIZE, null)), `from ${first}`).toBe(
        true,
      );
    }
    expect(isSound(await proveGrowth(db, 3, 7, null))).toBe(true);
  });

  test("is refused of what the log has not, or had not yet", async () => {
    const checkpoint = await checkpointOf(db, 77);

    expect(await refusalOf(proveEntry(db, SIZE, "now", null))).toMatchObject({
      code: "not_found",
      hint: `Its last one is log_${SIZE - 1}.`,
    });
    expect(await refusalOf(proveEntry(db, SIZE, checkpoint, null))).toMatchObject({ code: "not_found" });
    expect(await refusalOf(proveEntry(db, 77, checkpoint, null))).toMatchObject({
      code: "conflict",
      message: expect.stringMatching(
        /log_77 is later than the checkpoint, which saw 77 entries; nothing was proven/,
      ),
      hint: expect.stringMatching(/^Make a new checkpoint/),
    });
    expect(await refusalOf(proveGrowth(db, 8, 7, null))).toMatchObject({
      code: "conflict",
      message: "The earlier head has 8 entries, and the later one 7; nothing was proven.",
    });
    expect(await refusalOf(proveGrowth(db, 8, SIZE + 1, null))).toMatchObject({
      code: "conflict",
      details: { size: SIZE, seen: SIZE + 1 },
    });
  });

  test("is refused against a checkpoint of another log", async () => {
    const other = { ...(await checkpointOf(db, 77)), origin: "midctl/another" };

    expect(await refusalOf(proveEntry(db, 5, other, null))).toMatchObject({
      code: "conflict",
      message: expect.stringMatching(/of another log \(midctl\/another, /),
    });
    expect(await refusalOf(proveGrowth(db, other, "now", null))).toMatchObject({ code: "conflict" });
  });
});

describe.each(databases())("a log that its owner changed with the triggers off, on $name", (factory) => {
  let database: TestDatabase;
  let db: Database;
  let before: SignedCheckpoint;

  beforeAll(async () => {
    database = await factory.create();
    ({ db } = database);
    await growTo(db, 40);
    before = await checkpointOf(db, 33);
    await db.transaction((tx) =>
      tx.script(
        "ALTER TABLE midctl_log DISABLE TRIGGER USER; ALTER TABLE midctl_log_tile DISABLE TRIGGER USER; ALTER TABLE midctl_log_head DISABLE TRIGGER USER",
      ),
    );
  });
  afterAll(() => database.dispose());

  /** Each leaves the log as it was. */
  async function tampered<T>(sql: string, work: (tx: Tx) => Promise<T>): Promise<T> {
    let found: { readonly value: T } | undefined;
    await db
      .transaction(async (tx) => {
        await tx.script(sql);
        found = { value: await work(tx) };
        throw new Error("back");
      })
      .catch((error) => {
        if (found === undefined) throw error;
      });
    if (found === undefined) throw new Error("never ran");
    return found.value;
  }
  beforeEach(async () => {
    expect(isSound(await proveEntry(db, 5, before, null))).toBe(true);
  });

  const altered = (index: number, to: string) =>
    `UPDATE midctl_log SET entry = ${to}, "leafHash" = sha256('\\x00'::bytea || convert_to(${to}, 'UTF8')) WHERE "index" = ${index}`;

  test("proves no entry that was altered, its leaf with it", async () => {
    const refusal = await tampered(altered(5, "replace(entry, 'team', 'gang')"), (tx) =>
      refusalOf(proveEntry(tx, 5, "now", null)),
    );

    expect(refusal).toMatchObject({
      code: "conflict",
      message:
        "log_5 is not the entry that the tree over the log was made of: it was altered; nothing was proven.",
      details: { index: 5 },
    });
  });

  test("proves no entry that was removed", async () => {
    const refusal = await tampered(`DELETE FROM midctl_log WHERE "index" = 5`, (tx) =>
      refusalOf(proveEntry(tx, 5, "now", null)),
    );

    expect(refusal).toMatchObject({
      code: "conflict",
      message: expect.stringMatching(/log_5, and its row is gone/),
    });
  });

  test("proves nothing to a checkpoint once the tree is another", async () => {
    const sql = "UPDATE midctl_log_head SET edge[3] = substring(edge[3] FOR 32) || sha256('other')";
    const [entry, growth] = await tampered(sql, (tx) =>
      Promise.all([
        refusalOf(proveEntry(tx, 5, before, null)),
        refusalOf(proveGrowth(tx, before, "now", null)),
      ]),
    );

    for (const refusal of [entry, growth]) {
      expect(refusal).toMatchObject({
        code: "conflict",
        message: expect.stringMatching(
          /first 33 entries are not those that the checkpoint saw: it was rewritten/,
        ),
      });
    }
  });

  test("proves nothing to a checkpoint that saw more", async () => {
    const seen = { ...before, size: 999 };

    expect(await refusalOf(proveEntry(db, 5, seen, null))).toMatchObject({
      code: "conflict",
      message: expect.stringMatching(/checkpoint saw 999: it was truncated, or restored from before/),
    });
  });

  test("says so where a part of the tree is gone", async () => {
    const refusal = await tampered("DELETE FROM midctl_log_tile WHERE level = 0 AND position = 1", (tx) =>
      refusalOf(proveEntry(tx, 5, "now", null)),
    );

    expect(refusal).toMatchObject({ code: "conflict", message: expect.stringMatching(/has no node 0\/4/) });
  });
});

async function growTo(db: Database, size: number): Promise<void> {
  const [row] = await db.query<{ size: number }>("SELECT size::int FROM midctl_log_head");
  await db.query(
    `INSERT INTO machine_identity ("publicId", slug, kind, "displayName", owner)
     SELECT lpad(n::text, 12, '0'), 'svc-' || n, 'service', 'a service', 'team' FROM generate_series(1, $1::int) n`,
    [size - (row?.size ?? 0)],
  );
}

async function entryAt(db: Tx, index: number): Promise<string | undefined> {
  const [row] = await db.query<{ entry: string }>(`SELECT entry FROM midctl_log WHERE "index" = $1`, [index]);
  return row?.entry;
}

/** As it was made at that size; a signature that nobody checks here. */
async function checkpointOf(db: Tx, size: number): Promise<SignedCheckpoint> {
  const { origin, from } = await proveGrowth(db, size, "now", null);
  const text = `${origin}\n${size}\n${from.root.toString("base64")}\n`;
  const parsed = parseCheckpoint(
    writeNote({ text, signatures: [{ name: origin, keyId: "00000000", signature: Buffer.alloc(64) }] }),
  );
  if (parsed === null) throw new Error("no checkpoint");
  return parsed;
}

function isSound(proof: LogProof): boolean {
  return (
    judgeProof(parseProof(writeProof(proofDocument(proof))), { key: null, kept: null }).checked ===
    "arithmetic"
  );
}

async function refusalOf(work: Promise<unknown>): Promise<Partial<MidctlError>> {
  const error = await work.then(
    () => null,
    (error: MidctlError) => error,
  );
  return {
    code: error?.code,
    message: error?.message,
    hint: error?.hint,
    details: error?.details,
  } as Partial<MidctlError>;
}

function counting(db: Tx) {
  let [statements, rows] = [0, 0];
  return {
    tx: {
      async query(text, params) {
        statements += 1;
        const found = await db.query(text, params);
        rows += found.length;
        return found as never;
      },
    } satisfies Tx,
    reset: () => ([statements, rows] = [0, 0]),
    statements: () => statements,
    rows: () => rows,
  };
}
