import { existsSync, lstatSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { type Desk, holdIdentity, openDesk } from "../process/desk.ts";
import { urlOf } from "../support/databases.ts";
import { listen, openProxy } from "../support/proxy.ts";
import { faultsByPublished } from "../support/published.ts";
import { ask, startProgram, startServe } from "./program.ts";

let desk: Desk;
let token: string;

beforeAll(async () => {
  desk = await openDesk();
  await desk.identity("bot");
  ({ token } = await desk.activeCredential("bot", "--scope", "cards:*"));
});
afterAll(() => desk.dispose());

describe("midctl serve says where it listens", () => {
  test("with the port that was free, and serves there", async () => {
    const { url, stdout } = await startServe(desk.env);

    expect((await ask(`${url}/auth?scope=cards:read`, token)).headers.get("x-midctl-identity")).toBe("bot");
    expect(stdout()).toBe(`listening\t${url}\npaths\t/auth /introspect /mcp /healthz /readyz /metrics\n`);
  });

  test("in one JSON document at once, not at its end", async () => {
    const running = startProgram(["serve", "--listen", "127.0.0.1:0", "--json"], desk.env);

    const document = JSON.parse(await running.said(/\{.*\}/));

    expect(faultsByPublished("serve", document)).toEqual([]);
    expect(document).toMatchObject({ schemaVersion: 1, listening: `http://127.0.0.1:${document.port}` });
    expect((await ask(`${document.listening}/healthz`, token)).status).toBe(200);
  });

  test("on IPv6", async () => {
    const running = startProgram(["serve", "--listen", "[::1]:0"], desk.env);

    const url = await running.said(/^listening\t(.*)$/m);

    expect(url).toMatch(/^http:\/\/\[::1\]:\d+$/);
    expect((await ask(`${url}/auth`, token)).status).toBe(200);
  });

  test("on a unix socket, which goes with it", async () => {
    const path = join(desk.directory, "serve.sock");
    const running = startProgram(["serve", "--listen", `unix:${path}`], desk.env);
    expect(await running.said(/^listening\t(.*)$/m)).toBe(`unix:${path}`);

    expect(await statusOver(path)).toBe(200);
    expect(statSync(path).mode & 0o777).toBe(0o666);
    running.kill("SIGTERM");
    await running.ended;

    expect(existsSync(path)).toBe(false);
  });

  test("on a unix socket that a killed server left behind, but not on one that is in use", async () => {
    const path = join(desk.directory, "left.sock");
    const words = ["serve", "--listen", `unix:${path}`];
    const killed = startProgram(words, desk.env);
    await killed.said(/listening/);
    killed.kill("SIGKILL");
    await killed.ended;
    expect(existsSync(path)).toBe(true);

    await startProgram(words, desk.env).said(/listening/);
    const third = await desk.refuse(words);

    expect(third).toMatchObject({ exit: 5, code: "conflict", details: { errno: "EADDRINUSE" } });
    expect(await statusOver(path)).toBe(200);
  });

  function statusOver(socketPath: string): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      request({ socketPath, path: "/auth", headers: { authorization: `Bearer ${token}` } }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on("error", reject)
        .end();
    });
  }

  test("and warns where others could listen in", async () => {
    const running = startProgram(["serve", "--listen", "0.0.0.0:0"], desk.env);
    await running.said(/listening/);

    expect(running.stderr()).toContain("Tokens travel in the clear");
  });
});

describe("midctl serve does not start", () => {
  test("where another process listens", async () => {
    const other = createServer();
    onTestFinished(() => void other.close());
    const port = await listen(other);

    const refused = await desk.refuse(`serve --listen 127.0.0.1:${port}`);

    expect(refused).toMatchObject({ exit: 5, code: "conflict" });
    expect(refused.message).toContain(`http://127.0.0.1:${port}`);
  });

  test.each<[string, (path: string) => void]>([
    ["a file", (path) => writeFileSync(path, "precious\n")],
    [
      "a link to a file",
      (path) => {
        writeFileSync(`${path}.target`, "precious\n");
        symlinkSync(`${path}.target`, path);
      },
    ],
    ["a link to nowhere", (path) => symlinkSync("/nonexistent/target", path)],
    ["a directory", (path) => mkdirSync(path)],
  ])("at a path where there is %s, which stays as it is", async (what, make) => {
    const path = join(desk.directory, `${what.replaceAll(" ", "-")}.sock`);
    make(path);
    const before = lstatSync(path);

    const refused = await desk.refuse(["serve", "--listen", `unix:${path}`]);

    expect(refused).toMatchObject({ exit: 5, code: "conflict" });
    expect(refused.message).toContain("is no socket; it is left as it is");
    expect(lstatSync(path)).toEqual(before);
  });

  test("as a rehearsal, and leaves even a dead socket alone", async () => {
    const path = join(desk.directory, "rehearsed.sock");
    const killed = startProgram(["serve", "--listen", `unix:${path}`], desk.env);
    await killed.said(/listening/);
    killed.kill("SIGKILL");
    await killed.ended;
    const before = lstatSync(path);

    const refused = await desk.refuse(["serve", "--dry-run", "--listen", `unix:${path}`]);

    expect(refused).toMatchObject({ exit: 2, code: "usage" });
    expect(lstatSync(path)).toEqual(before);
  });

  test.each([
    "8484",
    "127.0.0.1",
    "127.0.0.1:65536",
    "::1:8484",
    "unix:",
    "unix:relative.sock",
    "http://localhost:1",
    "",
  ])("at %j, which is no address", async (address) => {
    expect(await desk.refuse(["serve", `--listen=${address}`])).toMatchObject({ exit: 2, code: "usage" });
  });

  test("in a directory that does not exist", async () => {
    const refused = await desk.refuse("serve --listen unix:/nonexist/x.sock");

    expect(refused).toMatchObject({ exit: 2, code: "usage" });
    expect(refused.message).toContain("does not exist");
  });

  test("at an address that is not this machine's", async () => {
    expect(await desk.refuse("serve --listen 192.0.2.1:8484")).toMatchObject({ exit: 2, code: "usage" });
  });

  test("without a database", async () => {
    const nowhere = { env: { MIDCTL_DATABASE_URL: "postgres://u@127.0.0.1:1/x" } };

    expect(await desk.refuse("serve --listen 127.0.0.1:0", nowhere)).toMatchObject({
      exit: 7,
      code: "unavailable",
    });
  });
});

describe("midctl serve ends in order", () => {
  test.each([
    ["SIGTERM", 0],
    ["SIGINT", 0],
    ["SIGHUP", 129],
  ] as const)("on %s: exit %i, and its verifier keeps nobody waiting", async (signal, exit) => {
    const serving = await startServe(listening());
    await ask(`${serving.url}/auth`, token);
    await expect.poll(() => leasesOf(serving.pid)).toBe(1);

    serving.kill(signal);

    expect(await serving.ended).toEqual({ code: exit, signal: null });
    await expect(fetch(`${serving.url}/healthz`)).rejects.toThrow();
    expect(serving.stderr()).toMatch(/ GET \/auth 200 \S+ bot\n/);
    expect(await leasesOf(serving.pid)).toBe(0);
  });

  /** How many leases the verifier of that process holds, of which a revocation would wait for each. */
  async function leasesOf(pid: number): Promise<number> {
    return (await desk.sql("SELECT FROM midctl_verifier WHERE name LIKE '%/' || $1::text", [`${pid}`]))
      .length;
  }

  test("what is under way is answered first, and nothing new is taken", async () => {
    const slug = await desk.identity("slow-first-use");
    const fresh = await desk.issue(slug);
    const serving = await startServe(desk.env);
    const held = await holdIdentity(desk, slug);
    const underWay = ask(`${serving.url}/auth`, fresh.token);
    await held.waiting(1);

    serving.kill("SIGTERM");
    await untilClosed(serving.url);
    await held.release();

    expect((await underWay).status).toBe(200);
    expect(await serving.ended).toEqual({ code: 0, signal: null });
  });

  test("connections that are kept alive are not waited for", async () => {
    const serving = await startServe(desk.env);
    const kept = connect(Number(new URL(serving.url).port), "127.0.0.1");
    const gone = new Promise((resolve) => kept.on("close", resolve));
    await new Promise((resolve) => {
      kept.once("data", resolve);
      kept.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    });

    serving.kill("SIGTERM");

    expect((await serving.ended).code).toBe(0);
    await gone;
  });

  test("a second signal does not wait", async () => {
    const slug = await desk.identity("never-first-used");
    const fresh = await desk.issue(slug);
    const serving = await startServe(desk.env);
    const held = await holdIdentity(desk, slug);
    const cut = ask(`${serving.url}/auth`, fresh.token).catch(() => "cut");
    await held.waiting(1);

    serving.kill("SIGTERM");
    await untilClosed(serving.url);
    serving.kill("SIGTERM");

    expect((await serving.ended).code).toBe(143);
    expect(await cut).toBe("cut");
    await held.release();
  });
});

test("midctl serve outlives its database connections, however often they are cut", async () => {
  const [server] = inject("servers");
  if (server === undefined) throw new Error("no PostgreSQL server");
  const proxy = await openProxy(server);
  onTestFinished(() => proxy.close());
  const database = new URL(desk.url.replace(/@[^/]*/, "@localhost")).pathname.slice(1);
  const url = urlOf({ ...server, port: proxy.port }, database, "tcp");
  const serving = await startServe({ ...desk.env, MIDCTL_DATABASE_URL: url }, "--no-access-log");
  const statuses = new Set<number>();
  let cutting = true;
  const asking = Array.from({ length: 8 }, async () => {
    while (cutting) statuses.add((await ask(`${serving.url}/auth`, "kanagent_unknown")).status);
  });

  for (let round = 0; round < 30; round += 1) {
    await ask(`${serving.url}/auth`, token);
    proxy.cut();
  }
  cutting = false;
  await Promise.all(asking);

  expect([...statuses].every((status) => status === 401 || status === 503)).toBe(true);
  await expect.poll(async () => (await ask(`${serving.url}/auth`, token)).status).toBe(200);
  await expect.poll(async () => (await ask(`${serving.url}/readyz`, token)).status).toBe(200);
  expect(serving.stderr()).toBe("");
});

test("a revocation is felt by a server's next request once the command is back", async () => {
  await desk.identity("leaver");
  const leaver = await desk.activeCredential("leaver");
  const serving = await startServe(listening());
  await expect
    .poll(async () => {
      await ask(`${serving.url}/auth`, leaver.token);
      return (await (await fetch(`${serving.url}/metrics`)).text()).includes(
        "midctl_verifier_cached_total 0",
      );
    })
    .toBe(false);

  const { results } = await desk.ask("revoke leaver --yes");

  expect(results[0].letGo.verifiers).toBeGreaterThanOrEqual(1);
  expect((await ask(`${serving.url}/auth`, leaver.token)).status).toBe(401);
});

/** For a server that caches: its session has to be its own, not one that a pooler lends. */
function listening(): Record<string, string> {
  return { ...desk.env, MIDCTL_DATABASE_URL: desk.directUrl };
}

/** Until nothing new is taken at that address. */
async function untilClosed(url: string): Promise<void> {
  await expect
    .poll(() =>
      fetch(`${url}/healthz`).then(
        () => "open",
        () => "closed",
      ),
    )
    .toBe("closed");
}
