import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { listen } from "../support/proxy.ts";
import { insertLegacy, until } from "../verifier/scene.ts";
import { openStage, type Stage, sendRaw } from "./stage.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const VERIFY = readFileSync(join(ROOT, "docs/verify.md"), "utf8");

/** The first block of code of that language in docs/verify.md. */
function blockOf(language: string): string {
  const block = new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(VERIFY)?.[1];
  if (block === undefined) throw new Error(`docs/verify.md has no ${language}`);
  return block;
}

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

async function freePort(): Promise<number> {
  const probe = createTcpServer();
  const port = await listen(probe);
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** Asks until somebody listens there. */
async function untilOpen(url: string): Promise<void> {
  await until(() =>
    fetch(url).then(
      () => true,
      () => false,
    ),
  );
}

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

const NGINX = [
  "/usr/sbin/nginx",
  "/usr/bin/nginx",
  "/usr/local/sbin/nginx",
  "/opt/homebrew/bin/nginx",
].filter(existsSync);

describe.each(NGINX.slice(0, 1))("behind a real nginx (%s), configured as docs/verify.md has it", (nginx) => {
  let url: string;
  let port: number;
  let received: IncomingMessage[] = [];
  let bodies = 0;
  const app = createServer((request, response) => {
    received.push(request);
    request.on("data", (chunk) => {
      bodies += chunk.length;
    });
    request.on("end", () => response.writeHead(request.url === "/fails" ? 500 : 200).end("app"));
  });
  let process_: ReturnType<typeof spawn>;

  beforeAll(async () => {
    url = await startNginx(stage.port);
  });
  afterAll(() => {
    process_.kill("SIGTERM");
    app.closeAllConnections();
    app.close();
  });

  async function startNginx(midctl: number): Promise<string> {
    const home = mkdtempSync(join(inject("scratch"), "nginx-"));
    const appPort = app.listening ? (app.address() as { port: number }).port : await listen(app);
    port = await freePort();
    const locations = blockOf("nginx")
      .replaceAll("127.0.0.1:3000", `127.0.0.1:${appPort}`)
      .replaceAll("127.0.0.1:8484", `127.0.0.1:${midctl}`);
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (name) => `${name}_temp_path ${home}/${name};`,
    );
    writeFileSync(
      join(home, "nginx.conf"),
      `daemon off; master_process off; pid ${home}/pid; error_log ${home}/error.log;
       events {}
       http { access_log off; ${temporary.join(" ")}
         server { listen 127.0.0.1:${port}; ${locations} } }`,
    );
    process_ = spawn(nginx, ["-p", home, "-e", `${home}/error.log`, "-c", `${home}/nginx.conf`], {
      stdio: "inherit",
    });
    await untilOpen(`http://127.0.0.1:${port}/`);
    received = [];
    return `http://127.0.0.1:${port}`;
  }

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
    const legacy = await insertLegacy(stage.db, "legacynginx1");
    const claims = {
      "x-midctl-identity": "admin",
      "x-midctl-owner": "root",
      "x-midctl-credential": "mc_forged",
    };

    await fetch(`${url}/`, { headers: { ...bearer(legacy), ...claims } });

    const headers = received.at(-1)?.headers ?? {};
    expect(headers["x-midctl-identity"]).toBe("at_legacynginx1");
    expect([headers["x-midctl-owner"], headers["x-midctl-credential"]]).toEqual([undefined, undefined]);
  });

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

  test.each([
    ["1 MiB of token", `Authorization: Bearer ${"x".repeat(1 << 20)}`],
    ["a header given twice", "Authorization: Bearer a\r\nAuthorization: Bearer b"],
  ])("%s does not get through", async (_, line) => {
    received = [];

    const { status } = await sendRaw(
      port,
      `GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${line}\r\n\r\n`,
    );

    expect([400, 401]).toContain(status);
    expect(received).toEqual([]);
  });

  test("an application's own 500 stays one", async () => {
    expect((await fetch(`${url}/fails`, { headers: bearer(good) })).status).toBe(500);
  });

  test("without a database it is 503 with Retry-After, and the application is not asked", async () => {
    const gone = await openStage({ authenticator: { patience: 500 } });
    await gone.database.dispose();
    onTestFinished(() => gone.server.stop());
    process_.kill("SIGTERM");
    const withoutDatabase = await startNginx(gone.port);

    const response = await fetch(`${withoutDatabase}/`, { headers: bearer(good) });

    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "2"]);
    expect(received).toEqual([]);
  });
});
