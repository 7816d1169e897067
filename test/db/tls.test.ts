import { randomBytes } from "node:crypto";
import { chmodSync, copyFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";
import { migrate } from "../../src/db/migrate.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { type CliResult, runCli } from "../support/cli.ts";
import { runSql, urlOf } from "../support/databases.ts";
import type { Launched } from "../support/launcher.ts";
import { listen } from "../support/proxy.ts";
import { launchWithTls, tlsFile } from "../support/tls-server.ts";

const AUTHORITY = `sslrootcert=${tlsFile("authority.pem")}`;

let genuine: Launched;
/** Who answers in its place with a certificate of its own making. */
let impostor: Launched;
beforeAll(async () => {
  const scratch = inject("scratch");
  [genuine, impostor] = await Promise.all([
    launchWithTls(scratch, "database"),
    launchWithTls(scratch, "impostor"),
  ]);
});
afterAll(() => Promise.all([genuine.stop(), impostor.stop()]));

/** Whether the session is encrypted, or why there is none. `db.example` is reached at this machine, as by a tunnel. */
async function ask(
  parameters: string,
  { at = genuine.server.port, host = "db.example", user = "postgres" } = {},
): Promise<unknown> {
  const url = `postgres://${user}@${host}:${at}/postgres?hostaddr=127.0.0.1&${parameters}`;
  const db = openPostgres({ url });
  try {
    return await db.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
  } catch (error) {
    return error;
  } finally {
    await db.close();
  }
}

const ENCRYPTED = [{ ssl: true }];

describe("a server on another machine", () => {
  it("is spoken to in TLS without a word, its authority being named", async () => {
    expect(await ask(AUTHORITY)).toEqual(ENCRYPTED);
  });

  it("is known by its address where the certificate bears that", async () => {
    expect(await ask(AUTHORITY, { host: "192.0.2.7" })).toEqual(ENCRYPTED);
  });

  it("is verified whatever Node's own environment variable says", async () => {
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    try {
      expect(await ask(AUTHORITY, { at: impostor.server.port })).toMatchObject({ code: "unavailable" });
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it.each(["db.other", "192.0.2.8", "localhost"])(
    "is refused as %s, which its certificate does not bear",
    async (host) => {
      expect(await ask(AUTHORITY, { host })).toMatchObject({
        code: "unavailable",
        message: "The database's certificate was made out for another host; nothing was sent.",
        hint: expect.stringContaining("hostaddr="),
      });
    },
  );

  it("is taken under any name by sslmode=verify-ca, which says so", async () => {
    expect(await ask(`${AUTHORITY}&sslmode=verify-ca`, { host: "db.other" })).toEqual(ENCRYPTED);
  });

  it("is refused without its authority", async () => {
    expect(await ask("")).toMatchObject({
      code: "unavailable",
      hint: expect.stringContaining("sslrootcert"),
    });
  });
});

describe("somebody in between", () => {
  it.each(["", "sslmode=require", "sslmode=verify-ca", "sslmode=verify-full"])(
    "with a certificate of its own making is refused (%s), and the message says what to do",
    async (mode) => {
      expect(await ask(`${AUTHORITY}&${mode}`, { at: impostor.server.port })).toMatchObject({
        code: "unavailable",
        message: "The database's certificate is not trusted here; nothing was sent.",
        hint: "Name its authority with sslrootcert=FILE. If it was trusted before, find out who answers there.",
      });
    },
  );

  it("that answers the request for encryption with no is told nothing", async () => {
    const seen: string[] = [];
    const downgrade = createServer((client) => {
      client.once("data", (request) => {
        seen.push(request.toString("hex"));
        client.write("N");
        const upstream = connect(genuine.server.port, "127.0.0.1");
        client.on("data", (chunk) => {
          seen.push(chunk.toString("latin1"));
          upstream.write(chunk);
        });
        upstream.on("error", () => undefined).pipe(client);
        client.on("close", () => upstream.destroy()).on("error", () => undefined);
      });
    });

    const answer = await ask(AUTHORITY, { at: await listen(downgrade) });

    expect(answer).toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/does not offer an encrypted connection.*nothing was sent/),
    });
    expect(seen).toEqual(["0000000804d2162f"]);
    downgrade.close();
  });
});

describe("a client certificate", () => {
  /** The key as an operator keeps it. */
  function keyOfMode(mode: number): string {
    const path = join(inject("scratch"), `client-${randomBytes(4).toString("hex")}.key`);
    copyFileSync(tlsFile("client.key"), path);
    chmodSync(path, mode);
    return path;
  }
  const show = (mode: number) => `${AUTHORITY}&sslcert=${tlsFile("client.pem")}&sslkey=${keyOfMode(mode)}`;
  beforeAll(() => runSql(urlOf(genuine.server, "postgres"), "CREATE ROLE certified LOGIN"));

  it("lets in whom the server knows by it", async () => {
    expect(await ask(show(0o600), { user: "certified" })).toEqual(ENCRYPTED);
  });

  it("is missed by the server where none is shown", async () => {
    expect(await ask(AUTHORITY, { user: "certified" })).toMatchObject({ code: "unavailable" });
  });

  it("is not used with a key that others can read", async () => {
    const key = keyOfMode(0o644);
    const url = `postgres://u@db.example/d?sslcert=${tlsFile("client.pem")}&sslkey=${key}`;

    expect(() => openPostgres({ url })).toThrow(/can be read by other users/);
  });
});

describe("a protected database", () => {
  /** 0.0.0.0 leads to this machine and does not count as it: another machine's address, as far as midctl can see. */
  const url = (parameters: string) =>
    `postgres://postgres@db.example:${genuine.server.port}/shielded?hostaddr=0.0.0.0&${parameters}`;

  beforeAll(async () => {
    await runSql(urlOf(genuine.server, "postgres"), "CREATE DATABASE shielded");
    const db = openPostgres({ url: urlOf(genuine.server, "shielded") });
    await migrate(db);
    await db.close();
  });

  const midctl = (words: string, parameters: string): Promise<CliResult> =>
    runCli([...words.split(" "), "--json"], { env: { MIDCTL_DATABASE_URL: url(parameters) } });

  it("may be reached by a weaker way until it is protected", async () => {
    const { code } = await midctl("list", `${AUTHORITY}&sslmode=verify-ca`);

    expect(code).toBe(0);
  });

  describe("once protected", () => {
    beforeAll(() =>
      runSql(
        urlOf(genuine.server, "shielded"),
        "UPDATE midctl_environment SET name = 'production', named = true, protected = true",
      ),
    );

    it.each([
      "list",
      "status",
      "db status",
      "db migrate",
      "doctor",
      "identity create bot --owner me",
      "pause bot --yes",
      "audit",
      "serve --listen 127.0.0.1:0",
    ])("refuses `%s` by a weaker way, and names what to remove", async (words) => {
      const { code, stderr, stdout } = await midctl(words, `${AUTHORITY}&sslmode=verify-ca`);

      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(JSON.parse(stderr).error).toMatchObject({
        message: expect.stringMatching(
          /environment production is protected, and sslmode=verify-ca .*nothing was done/,
        ),
        hint: expect.stringContaining("take sslmode=verify-ca out of the database URL"),
      });
    });

    it("answers by a verified way", async () => {
      const { code } = await midctl("list", AUTHORITY);

      expect(code).toBe(0);
    });

    it("answers on this machine, as by its socket", async () => {
      const { code } = await runCli(["list"], {
        env: { MIDCTL_DATABASE_URL: urlOf(genuine.server, "shielded") },
      });

      expect(code).toBe(0);
    });
  });
});
