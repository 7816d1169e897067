import { expect, onTestFinished, test } from "vitest";
import { openPostgres } from "../../src/index.ts";
import { openStage, type Stage } from "./stage.ts";

/** A first use that waits for the identity's lock, which another session holds. */
async function beginFirstUse(stage: Stage, slug: string) {
  const { token } = await stage.issue(slug);
  const other = openPostgres({ url: stage.database.url ?? "" }, { max: 1, applicationName: "other" });
  await other.query("BEGIN");
  await other.query("SELECT FROM machine_identity WHERE slug = $1 FOR UPDATE", [slug]);
  const asked = stage.ask("/auth", token).then(
    ({ status }) => status,
    () => "cut",
  );
  const waiting = async () =>
    (
      await stage.db.query(
        "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
      )
    ).length;
  while ((await waiting()) === 0);
  onTestFinished(() => other.close());
  return { asked, release: () => other.query("COMMIT") };
}

test("a server that ends waits for what is under way", async () => {
  const stage = await openStage();
  const { asked, release } = await beginFirstUse(stage, "waited-for");

  const stopped = stage.server.stop();
  await release();
  await stopped;

  expect(await asked).toBe(200);
  await stage.database.dispose();
});

test("a server that ends does not wait for longer than its limit", async () => {
  const stage = await openStage({ limits: { drain: 200 } });
  const { asked } = await beginFirstUse(stage, "not-waited-for");

  await stage.server.stop();

  expect(await asked).toBe("cut");
  await stage.database.dispose();
}, 30_000);

test("a server that was told to end twice ends once", async () => {
  const stage = await openStage();

  await Promise.all([stage.server.stop(), stage.server.stop()]);

  await expect(stage.ask("/healthz")).rejects.toThrow();
  await stage.database.dispose();
});
