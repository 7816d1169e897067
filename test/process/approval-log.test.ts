import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { parseKeptHead, writeKeptHead } from "../../src/domain/kept-head.ts";
import { openProtectedDesk, type ProtectedDesk } from "./protected-desk.ts";

/** SPEC §9 and §10: an approval carries the head that it was made on, and approving holds it against the last one that was seen. */
describe("an approval and the log", () => {
  let desk: ProtectedDesk;
  let file: string;
  let asked = 0;
  beforeAll(async () => {
    desk = await openProtectedDesk();
    const [{ id } = { id: "" }] = await desk.sql<{ id: string }>(
      `SELECT "databaseId"::text AS id FROM midctl_environment`,
    );
    file = join(String(desk.env.XDG_STATE_HOME), "midctl/heads", id);
  });
  afterAll(() => desk.dispose());
  beforeEach(() => rmSync(file, { force: true }));

  it("names the head that it was made on", async () => {
    const { planFile } = await request();
    const { log } = JSON.parse(readFileSync(planFile, "utf8"));

    const head = await desk.ask("audit checkpoint");
    expect(log).toMatchObject({ size: expect.any(Number), root: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(log.size).toBeLessThan(head.size);
  });

  it("is remembered by whoever approves, and held against the next", async () => {
    await desk.approve((await request()).id);
    const first = seen();
    await desk.approve((await request()).id);

    expect(first?.size).toBeGreaterThan(0);
    expect(seen()?.size).toBeGreaterThan(first?.size ?? 0);
  });

  it("is refused where the log is shorter than it was when this approver last looked", async () => {
    await desk.approve((await request()).id);
    const last = seen();
    if (last === null) throw new Error("nothing was kept");
    writeFileSync(file, writeKeptHead({ ...last, size: last.size + 1_000 }));

    expect(await refusal((await request()).id)).toMatchObject({
      exit: 5,
      message: expect.stringMatching(
        /does not go on from the \d+ that you saw when you last approved; nothing was signed/,
      ),
    });
  });

  it("is refused where the log has other entries than it had when this approver last looked", async () => {
    await desk.approve((await request()).id);
    const last = seen();
    if (last === null) throw new Error("nothing was kept");
    writeFileSync(file, writeKeptHead({ ...last, root: Buffer.alloc(32, 7) }));

    expect(await refusal((await request()).id)).toMatchObject({ exit: 5 });
  });

  it("is refused where the plan was made on another log", async () => {
    const { id } = await request();
    await desk.sql("ALTER TABLE midctl_log_head DISABLE TRIGGER USER");
    const [{ edge } = { edge: "" }] = await desk.sql<{ edge: string }>(
      "SELECT edge::text FROM midctl_log_head",
    );
    await desk.sql(
      "UPDATE midctl_log_head SET edge[cardinality(edge)] = sha256('other') || substring(edge[cardinality(edge)] FROM 33)",
    );

    const refused = await refusal(id);

    await desk.sql(`UPDATE midctl_log_head SET edge = '${edge}'`);
    await desk.sql("ALTER TABLE midctl_log_head ENABLE TRIGGER USER");
    expect(refused).toMatchObject({
      exit: 5,
      message: expect.stringMatching(/that ap_\w+ was made on; nothing was signed/),
    });
  });

  it("is refused by a file that holds something else, which is named", async () => {
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(file, "garbage");

    expect(await refusal((await request()).id)).toMatchObject({
      exit: 2,
      message: expect.stringContaining(`${file} is no head of a log; nothing was signed`),
    });
  });

  it("is refused by a file with the head of another log, until that is moved away", async () => {
    const { id } = await request();
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(
      file,
      writeKeptHead({ origin: "midctl/another", size: 1, root: Buffer.alloc(32, 7), accepted: 0 }),
    );

    const refused = await refusal(id);
    renameSync(file, `${file}.foreign`);
    await desk.approve(id);

    expect(refused).toMatchObject({
      exit: 5,
      message: expect.stringMatching(/is of another log \(midctl\/another, .*; nothing was signed\.$/),
      hint: expect.stringContaining("move the file away, and approve again"),
    });
    expect(seen()?.origin).toBe(`midctl/${basename(file)}`);
  });

  it("stands where its head cannot be remembered, and says so", async () => {
    const { id } = await request();
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(`${file}.lock`, "held by another process");

    const { code, stderr } = await desk.run([
      "approval",
      "approve",
      id,
      "--key",
      desk.trust.keyFile("bob"),
      "--yes",
    ]);

    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining("is not remembered") });
  });

  it("stands where a file system makes no directory for it, and says that its parent is missing", async () => {
    const { id } = await request();

    const { code, stderr } = await desk.run(
      ["approval", "approve", id, "--key", desk.trust.keyFile("bob"), "--yes"],
      { env: { XDG_STATE_HOME: "/proc" }, timeout: 20_000 },
    );

    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining("is not remembered") });
  });

  const request = () => desk.request(`identity create asked-${asked++} --owner platform`);
  const refusal = (id: string) =>
    desk.refuse(["approval", "approve", id, "--key", desk.trust.keyFile("bob"), "--yes"]);
  const seen = () => parseKeptHead(readFileSync(file, "utf8"));
});
