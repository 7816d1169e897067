import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { parseLastCheckpoint } from "../../src/domain/checkpoint.ts";
import { startServe } from "../server/program.ts";
import { hasSshKeygen } from "../support/ssh.ts";
import { type Desk, openDesk } from "./desk.ts";

describe.runIf(hasSshKeygen)("checkpoints by themselves", () => {
  let desk: Desk;
  let key: string;
  beforeAll(async () => {
    desk = await openDesk();
    key = join(desk.directory, "log_ed25519");
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
    await desk.identity("bot");
  });
  afterAll(() => desk.dispose());

  it("are made by sweep, of what it leaves", async () => {
    const file = join(desk.directory, "swept");
    const words = ["sweep", "--checkpoint-out", file, "--checkpoint-signer", key];
    const first = await desk.ask(words);
    const again = await desk.ask(words);

    expect(first.checkpoint).toEqual({ file, size: await sizeOf(), appended: true });
    expect(again.checkpoint).toEqual({ file, size: first.checkpoint.size, appended: false });
    expect(parseLastCheckpoint(readFileSync(file, "utf8"))?.size).toBe(first.checkpoint.size);
  });

  it("that cannot be made leave what was swept done and shown, with exit 5 and why", async () => {
    const file = join(desk.directory, "foreign");
    const other = await openDesk();
    await other.identity("elsewhere");
    await other.ask(["audit", "checkpoint", "--key", key, "--out", file]);
    await other.dispose();
    await desk.identity("late");
    const { id } = await desk.issue("late");
    await desk.tamper(
      "machine_identity_credential",
      `"activationDeadline" = midctl_now() - interval '1 hour'`,
      id,
    );

    const swept = await desk.run(["sweep", "--checkpoint-out", file, "--checkpoint-signer", key, "--json"]);

    expect(swept.code).toBe(5);
    expect(JSON.parse(swept.stdout)).toMatchObject({
      abandoned: 1,
      checkpoint: { file, size: null, appended: false },
    });
    expect(JSON.parse(swept.stderr)).toMatchObject({ error: { code: "conflict" } });
  });

  it("that cannot be made are no reason to keep from people what was swept", async () => {
    const file = join(desk.directory, "nowhere", "x");

    const swept = await desk.run(["sweep", "--checkpoint-out", file, "--checkpoint-signer", key]);

    expect(swept.code).toBe(2);
    expect(swept.stdout).toMatch(/^credentials abandoned\t\d+$/m);
    expect(swept.stderr).toMatch(/^error: .*could not be used/);
  });

  it("are made by serve as the log grows, and counted for whoever watches", async () => {
    const file = join(desk.directory, "served");
    const { url, kill, ended } = await startServe(desk.env, ...schedule(file));
    const begun = await sizeOf();
    await desk.identity("grown");

    await vi.waitFor(() => expect(seenBy(file)).toBe(begun + 1), 10_000);
    expect(await (await fetch(`${url}/metrics`)).text()).toMatch(/midctl_checkpoint_ok 1\n/);
    kill("SIGTERM");
    expect((await ended).code).toBe(0);
  });

  it("are no longer made where the log does not go on from them: serve says so once, and goes on serving", async () => {
    const file = join(desk.directory, "longer");
    await desk.ask(["audit", "checkpoint", "--key", key, "--out", file]);
    const before = readFileSync(file, "utf8");
    const running = await startServe(desk.env, ...schedule(file));
    // As a database is that was restored from before.
    await desk.sql("ALTER TABLE midctl_log_head DISABLE TRIGGER USER");
    await desk.sql(`UPDATE midctl_log_head SET size = size - 1`);

    await vi.waitFor(
      async () =>
        expect(await (await fetch(`${running.url}/metrics`)).text()).toMatch(/midctl_checkpoint_ok 0\n/),
      10_000,
    );
    await desk.sql(`UPDATE midctl_log_head SET size = size + 1`);
    await desk.sql("ALTER TABLE midctl_log_head ENABLE ALWAYS TRIGGER midctl_10_guard");

    expect(running.stderr().match(/truncated, or restored from before/g)).toHaveLength(1);
    expect(readFileSync(file, "utf8")).toBe(before);
  });

  it.each([
    ["sweep --checkpoint-out x", /go together/],
    ["sweep --checkpoint-signer x", /go together/],
    ["serve --checkpoint-out x", /go together/],
    ["serve --checkpoint-every 0s", /--checkpoint-every/],
  ])("are refused by %s", async (words, says) => {
    expect(await desk.refuse(words)).toMatchObject({ exit: 2, message: expect.stringMatching(says) });
  });

  it("are asked for before serve listens: a file that cannot be used ends it", async () => {
    expect(
      await desk.refuse([
        "serve",
        "--listen",
        "127.0.0.1:0",
        ...schedule(join(desk.directory, "nowhere", "x")),
      ]),
    ).toMatchObject({ exit: 2, message: expect.stringMatching(/could not be used \(ENOENT\)/) });
  });

  const schedule = (file: string): string[] => [
    ...["--checkpoint-out", file, "--checkpoint-signer", key, "--checkpoint-every", "1s"],
  ];
  const seenBy = (file: string): number | undefined => parseLastCheckpoint(readFileSync(file, "utf8"))?.size;

  async function sizeOf(): Promise<number> {
    const [row] = await desk.sql<{ size: number }>("SELECT size::int FROM midctl_log_head");
    return row?.size ?? 0;
  }
});
