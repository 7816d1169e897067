import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { listen } from "../support/proxy.ts";
import { insertLegacy } from "../verifier/scene.ts";
import { blockOf, freePort, installedProxies, type Proxying, untilOpen } from "./proxies.ts";
import { openStage, type Stage, sendRaw } from "./stage.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
let stage: Stage;
let good: string;
let scopeless: string;
beforeAll(async () => {
  stage = await openStage();
  ({ token: good } = await stage.issue("codex-1", {
    identity: { displayName: "Codex ❶" },
    scopes: ["cards:*"],
  }));
  ({ token: scopeless } = await stage.issue("codex-2"));
});
afterAll(() => stage.dispose());

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

test("the Node server of docs/verify.md works as it stands", async () => {
  const home = mkdtempSync(join(inject("scratch"), "docs-"));
  mkdirSync(join(home, "node_modules"));
  symlinkSync(ROOT, join(home, "node_modules/midctl"));
  const port = await freePort();
  writeFileSync(join(home, "server.mjs"), blockOf("js").replace("3000", `${port}`));
  const server = spawn(process.execPath, ["server.mjs"], {
    cwd: home,
    env: { PATH: process.env.PATH, DATABASE_URL: stage.database.url ?? "" },
    stdio: "inherit",
  });
  onTestFinished(() => void server.kill("SIGKILL"));
  const url = `http://127.0.0.1:${port}/`;
  await untilOpen(url);

  const passed = await fetch(url, { headers: bearer(good) });
  const refused = await fetch(url, { headers: bearer(scopeless) });
  const twice = await sendRaw(
    port,
    `GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${good}\r\nAuthorization: Bearer ${good}\r\n\r\n`,
  );

  expect([passed.status, await passed.text()]).toEqual([200, "Hello, Codex ❶"]);
  expect([refused.status, refused.headers.get("www-authenticate")]).toEqual([401, 'Bearer realm="midctl"']);
  expect(twice.status).toBe(401);
});

describe.each(installedProxies())("behind a real $name, configured as docs/verify.md has it", (proxy) => {
  let proxying: Proxying;
  let url: string;
  let received: IncomingMessage[] = [];
  let bodies = 0;
  let application: number;
  const app = createServer((request, response) => {
    received.push(request);
    request.on("data", (chunk) => {
      bodies += chunk.length;
    });
    request.on("end", () => response.writeHead(request.url === "/fails" ? 500 : 200).end("app"));
  });

  beforeAll(async () => {
    application = await listen(app);
    proxying = await proxy.start(stage.port, application);
    ({ url } = proxying);
  });
  afterAll(() => {
    proxying.stop();
    app.closeAllConnections();
    app.close();
  });

  test("a good token passes, and the application is told whose it is", async () => {
    const response = await fetch(`${url}/cards`, { headers: bearer(good) });

    const headers = received.at(-1)?.headers ?? {};
    expect([response.status, await response.text()]).toEqual([200, "app"]);
    expect(headers).toMatchObject({
      "x-midctl-identity": "codex-1",
      "x-midctl-owner": "platform",
      "x-midctl-kind": "service",
      "x-midctl-scopes": "cards:*",
    });
    expect(decodeURIComponent(String(headers["x-midctl-display-name"]))).toBe("Codex ❶");
  });

  test("what a client claims to be is overwritten, or taken away where there is nothing to say", async () => {
    const publicId = `legacy${proxy.name}`;
    const legacy = await insertLegacy(stage.db, publicId);
    const claims = {
      "x-midctl-identity": "admin",
      "x-midctl-owner": "root",
      "x-midctl-credential": "mc_forged",
    };

    await fetch(`${url}/`, { headers: { ...bearer(legacy), ...claims } });

    const headers = received.at(-1)?.headers ?? {};
    expect(headers["x-midctl-identity"]).toBe(`at_${publicId}`);
    expect([headers["x-midctl-owner"] ?? "", headers["x-midctl-credential"] ?? ""]).toEqual(["", ""]);
  });

  test("a good token with as many scopes as there may be passes, and they all arrive", async () => {
    const scopes = ["cards:read", ...Array.from({ length: 63 }, (_, n) => `${n}`.padEnd(128, "x"))];
    const { token } = await stage.issue(`largest-${proxy.name.toLowerCase()}`, {
      identity: { displayName: "❶".repeat(100), owner: "Ü".repeat(60) },
      scopes,
    });

    const response = await fetch(`${url}/`, { headers: bearer(token) });

    expect(response.status).toBe(200);
    expect(String(received.at(-1)?.headers["x-midctl-scopes"]).split(" ").sort()).toEqual(scopes.sort());
  });

  // Caddy passes them on, and then what midctl answers to them.
  if (proxy.name === "nginx") {
    test("more headers than midctl takes do not keep it from judging", async () => {
      const cookies = Array.from({ length: 4 }, (_, n) => `Cookie: c${n}=${"x".repeat(4_500)}\r\n`).join("");

      const { status } = await sendHeader(`Authorization: Bearer kanagent_unknown\r\n${cookies}X-Last: 1`);

      expect(status).toBe(401);
    });
  }

  test("a large body reaches the application whole", async () => {
    bodies = 0;

    const response = await fetch(`${url}/`, {
      method: "POST",
      headers: bearer(good),
      body: "x".repeat(500_000),
    });

    expect([response.status, bodies]).toEqual([200, 500_000]);
  });

  test.each([
    ["no token", () => ({})],
    ["an unknown token", () => bearer("kanagent_unknown")],
    ["a token without the scope", () => bearer(scopeless)],
    ["another scheme", () => ({ authorization: "Basic eDp5" })],
  ])("with %s the application is not asked: 401", async (_, headers) => {
    received = [];

    const response = await fetch(`${url}/`, { headers: headers() });

    expect([response.status, response.headers.get("www-authenticate")]).toEqual([
      401,
      'Bearer realm="midctl"',
    ]);
    expect(received).toEqual([]);
  });

  const sendHeader = (line: string) =>
    sendRaw(
      proxying.port,
      `GET / HTTP/1.1\r\nHost: 127.0.0.1:${proxying.port}\r\nConnection: close\r\n${line}\r\n\r\n`,
    );

  test("a header given twice does not get through: 400 or 401", async () => {
    received = [];

    const { status } = await sendHeader("Authorization: Bearer a\r\nAuthorization: Bearer b");

    expect([400, 401]).toContain(status);
    expect(received).toEqual([]);
  });

  test("1 MiB of token does not get through", async () => {
    received = [];

    const { status } = await sendHeader(`Authorization: Bearer ${"x".repeat(1 << 20)}`);

    // Whoever hangs up while the token is still being sent, the proxy (null) or midctl behind it (502), may reset the
    // connection before its answer is read.
    expect([400, 401, 431, 502, null]).toContain(status);
    expect(received).toEqual([]);
  });

  test("an application's own 500 stays one", async () => {
    expect((await fetch(`${url}/fails`, { headers: bearer(good) })).status).toBe(500);
  });

  test("without a database it is 503 with Retry-After, and the application is not asked", async () => {
    const gone = await openStage({ authenticator: { patience: 500 } });
    await gone.database.dispose();
    onTestFinished(() => gone.server.stop());
    const other = await proxy.start(gone.port, application);
    onTestFinished(other.stop);
    received = [];

    const response = await fetch(`${other.url}/`, { headers: bearer(good) });

    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "2"]);
    expect(received).toEqual([]);
  });
});
