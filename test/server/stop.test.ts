import { connect, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { openPostgres } from "../../src/index.ts";
import { openStage, type Stage } from "./stage.ts";

/** Until a session waits for a lock. */
async function untilSomebodyWaits(stage: Stage): Promise<void> {
  const waiting = async () =>
    (
      await stage.db.query(
        "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
      )
    ).length;
  while ((await waiting()) === 0);
}

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
  await untilSomebodyWaits(stage);
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

/** A connection, with all that came on it, and how it ended: by an error, or in order. */
async function open(stage: Stage): Promise<{ socket: Socket; text: () => string; over: Promise<string> }> {
  const socket = connect(stage.port, "127.0.0.1");
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk;
  });
  const over = new Promise<string>((resolve) => {
    socket.once("error", ({ message }) => resolve(message)).once("end", () => resolve("in order"));
  });
  await new Promise((resolve) => socket.once("connect", resolve));
  return { socket, text: () => text, over };
}
const HEALTH = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

test("a client that keeps its connection has its next request answered, and is told that it was the last", async () => {
  const stage = await openStage();
  const { socket, text, over } = await open(stage);
  socket.write(HEALTH);
  await expect.poll(text).toContain('{"ok":true}');

  const stopped = stage.server.stop();
  socket.write(HEALTH);

  expect(await over).toBe("in order");
  const [first, second] = text().split('{"ok":true}');
  expect(first).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*connection: keep-alive/i);
  expect(second).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*connection: close/i);
  await stopped;
  await stage.database.dispose();
});

test("what was under way when a server was told to end says that the connection ends with it", async () => {
  const stage = await openStage();
  const { token } = await stage.issue("told");
  const other = openPostgres({ url: stage.database.url ?? "" }, { max: 1 });
  await other.query("BEGIN");
  await other.query("SELECT FROM machine_identity WHERE slug = 'told' FOR UPDATE");
  const { socket, text, over } = await open(stage);
  socket.write(`GET /auth HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  await untilSomebodyWaits(stage);

  const stopped = stage.server.stop();
  await other.query("COMMIT");

  expect(await over).toBe("in order");
  expect(text()).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*connection: close/i);
  await stopped;
  await other.close();
  await stage.database.dispose();
});

test.each([
  ["nothing", ""],
  ["half a request", "GET /auth HTTP/1.1\r\nHost: x\r\nAuthoriz"],
  [
    "half a body of somebody who was not let in",
    "POST /introspect HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
  ],
])(
  "a connection on which there is %s does not keep a server from ending",
  async (_, bytes) => {
    const stage = await openStage({ limits: { drain: 600_000, headers: 600_000, request: 600_000 } });
    const { socket, over } = await open(stage);
    socket.write(bytes);
    await stage.ask("/healthz");

    await stage.server.stop();

    expect(await over).toBe("in order");
    await stage.database.dispose();
  },
  30_000,
);

test("a server ends before the 10 seconds are over that Docker waits, whatever is under way", async () => {
  const stage = await openStage();
  const { token } = await stage.issue("dawdler", { scopes: ["midctl:introspect"] });
  const { socket, over } = await open(stage);
  socket.write(
    `POST /introspect HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\ntoken`,
  );
  await stage.ask("/auth", token);
  const started = performance.now();

  await stage.server.stop();

  expect(performance.now() - started).toBeLessThan(8_000);
  await over;
  await stage.database.dispose();
}, 30_000);

test("a server that was told to end twice ends once", async () => {
  const stage = await openStage();

  await Promise.all([stage.server.stop(), stage.server.stop()]);

  await expect(stage.ask("/healthz")).rejects.toThrow();
  await stage.database.dispose();
});
