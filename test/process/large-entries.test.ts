import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tellEvent } from "../../src/cli/views/event-story.ts";
import { type Desk, openDesk } from "./desk.ts";

const MIB = 1024 * 1024;
/** Entries with a reason of almost a MiB: together more than is shown at once. */
const LARGE = 40;

describe("a log with large entries", () => {
  let desk: Desk;
  let size = 0;
  let first = 0;
  beforeAll(async () => {
    desk = await openDesk();
    for (let n = 0; n < 3; n++) await desk.identity(`svc-${n}`);
    await desk.sql(
      `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner)
       SELECT lpad(n::text, 12, '0'), 'large-' || n, 'x', 'service', 'x' FROM generate_series(1, ${LARGE}) n`,
    );
    size = (await desk.ask("audit list --limit 1")).events[0].index + 1;
    first = size - LARGE;
    await desk.sql("ALTER TABLE midctl_log DISABLE TRIGGER USER");
    await desk.sql(
      "ALTER TABLE midctl_log DROP CONSTRAINT midctl_log_leaf_check, DROP CONSTRAINT midctl_log_entry_size_check",
    );
    await enlarge(`"index" >= ${first}`, MIB / 2 - 4096);
    await enlarge(`"index" = ${first - 1}`, 70 * MIB);
  });
  afterAll(() => desk.dispose());

  it("is exported up to an entry whose line no reader would take, and that is named", async () => {
    const file = join(desk.directory, "log.jsonl");

    const refused = await desk.refuse(["audit", "export", "--from", String(first - 1), "--out", file]);

    expect(refused).toMatchObject({
      exit: 5,
      message: expect.stringMatching(
        new RegExp(`^log_${first - 1} has \\d+ bytes, and its line would be longer .*before it stands\\.$`),
      ),
      hint: expect.stringContaining(`--from ${first}`),
      details: { soundTo: first - 1 },
    });
    expect(existsSync(file)).toBe(false);
  });

  it("is listed in pages that end early, each event once", async () => {
    const told: number[] = [];
    const pages: number[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const more: string[] = cursor === "" ? [] : ["--cursor", cursor];
      const page = await desk.ask(["audit", "list", "--limit", "1000", ...more]);
      told.push(...page.events.map(({ index }: { index: number }) => index));
      pages.push(page.events.length);
      cursor = page.nextCursor;
    }

    expect(pages).toHaveLength(2);
    expect(told).toEqual(Array.from({ length: size }, (_, n) => size - 1 - n));
  });

  it("says of an entry that is too long to be shown how many bytes it has", async () => {
    const { events } = await desk.ask(["audit", "list", "--identity", "svc-2"]);

    expect(events[0]).toMatchObject({
      index: first - 1,
      action: "identity.create",
      machineIdentity: { slug: "svc-2" },
      reason: null,
      details: { leftOut: expect.any(Number) },
    });
    expect(tellEvent(events[0])).toBe(
      `identity.create svc-2, and ${events[0].details.leftOut} bytes that are not shown`,
    );
  });

  it("is looked into by what is sought, also where it is too long to be shown", async () => {
    const { events } = await desk.ask(["audit", "list", "--identity", "svc-2", "--grep", "svc-2"]);

    expect(events).toHaveLength(1);
  });

  /** As an owner would, with the guards off; quotes are the longest that there is, once they are written as JSON twice. */
  const enlarge = (where: string, quotes: number) =>
    desk.sql(
      `UPDATE midctl_log SET entry = jsonb_set(entry::jsonb, '{reason}', to_jsonb(repeat('"', ${quotes})))::text WHERE ${where}`,
    );
});
