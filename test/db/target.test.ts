import { readFileSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { TLSSocket } from "node:tls";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { openPostgres } from "../../src/db/postgres.ts";
import { type PostgresTarget, resolveTarget } from "../../src/db/target.ts";
import type { MidctlError } from "../../src/domain/errors.ts";
import { listen } from "../support/proxy.ts";

const fixture = (name: string) => fileURLToPath(new URL(`tls/${name}`, import.meta.url));
const AUTHORITY = fixture("authority.pem");
const VERIFIED = { ca: null, checkName: true, client: null };

describe("a URL", () => {
  it("is taken apart, percent-encoding undone", () => {
    expect(
      resolveTarget({
        url: "postgresql://us%40er:p%2Fw@db.example:6432/na%20me?application_name=x&connect_timeout=3",
      }),
    ).toEqual({
      direct: false,
      host: "db.example",
      address: null,
      port: 6432,
      user: "us@er",
      password: "p/w",
      database: "na me",
      tls: VERIFIED,
      weakness: null,
      connectTimeout: 3,
      applicationName: "x",
    });
  });

  it("has PostgreSQL's defaults: port 5432, a database of the user's name", () => {
    expect(resolveTarget({ url: "postgres://me@localhost" })).toMatchObject({
      port: 5432,
      database: "me",
      tls: null,
    });
  });

  it.each([
    ["postgres://u@%2Frun%2Fpg:5433/d"],
    ["postgres://u@/d?host=/run/pg&port=5433"],
    ["postgres:///d?host=/run/pg&port=5433&user=u"],
  ])("may name a socket directory: %s", (url) => {
    expect(resolveTarget({ url })).toMatchObject({
      host: "/run/pg",
      port: 5433,
      user: "u",
      database: "d",
      tls: null,
    });
  });

  it.each([
    ["localhost", null],
    ["127.0.0.1", null],
    ["127.8.9.1", null],
    ["[::1]", null],
    ["db.example", "verified"],
    ["10.0.0.7", "verified"],
    ["localhost.example", "verified"],
    ["127.0.0.1.example", "verified"],
  ])("to %s is encrypted and verified unless it is this machine", (host, tls) => {
    const expected = tls === null ? null : VERIFIED;

    expect(resolveTarget({ url: `postgres://u@${host}/d` }).tls).toEqual(expected);
  });

  it.each([
    ["disable", null],
    ["require", VERIFIED],
    ["verify-ca", { ...VERIFIED, checkName: false }],
    ["verify-full", VERIFIED],
  ])("with sslmode=%s", (mode, tls) => {
    expect(resolveTarget({ url: `postgres://u@db.example/d?sslmode=${mode}` }).tls).toEqual(tls);
  });

  it.each([
    ["db.example/d", null],
    ["db.example/d?sslmode=require", null],
    ["db.example/d?sslmode=verify-ca", "sslmode=verify-ca"],
    ["db.example/d?sslmode=disable", "sslmode=disable"],
    ["localhost/d?sslmode=disable", null],
    ["localhost/d?hostaddr=10.0.0.7&sslmode=disable", "sslmode=disable"],
    ["db.example/d?hostaddr=127.0.0.1&sslmode=disable", null],
  ])("%s is a weak way to another machine by %s", (rest, weakness) => {
    expect(resolveTarget({ url: `postgres://u@${rest}` })).toMatchObject({ weakness });
  });

  it.each([
    ["db.example/d?hostaddr=127.0.0.1", "a tunnel's end here"],
    ["localhost/d?hostaddr=10.0.0.7", "another machine's address under this one's name"],
  ])("%s is encrypted and verified: %s", (rest) => {
    expect(resolveTarget({ url: `postgres://u@${rest}` })).toMatchObject({ tls: VERIFIED });
  });

  it.each([
    ["no URL at all", "db.example"],
    ["another scheme", "mysql://u:hunter2@h/d"],
    ["a port that is none", "postgres://u:hunter2@h:99999/d"],
    ["a port of 0", "postgres://u:hunter2@h:0/d"],
    ["no host", "postgres://u:hunter2@/d"],
    ["no user", "postgres://h/d"],
    ["a percent sign that encodes nothing", "postgres://u:hunter2%zz@h/d"],
    ["a mode that falls back to plain text", "postgres://u:hunter2@h/d?sslmode=prefer"],
    ["an authority file that is not there", "postgres://u:hunter2@h/d?sslrootcert=/nonexistent.pem"],
    ["a parameter that would be ignored", "postgres://u:hunter2@h/d?channel_binding=require"],
    ["a hostaddr that is a name", "postgres://u:hunter2@h/d?hostaddr=db.example"],
    ["a client certificate without its key", "postgres://u:hunter2@h/d?sslcert=/nonexistent.pem"],
    ["a timeout that is none", "postgres://u:hunter2@h/d?connect_timeout=soon"],
  ])("is refused for %s, and never quoted", (_, url) => {
    const error = refusal({ url });

    expect(error).toMatchObject({ code: "usage" });
    expect(`${error.message}${error.hint}${String(error.cause)}`).not.toMatch(/hunter2|db\.example/);
  });
});

function refusal(target: PostgresTarget): MidctlError {
  try {
    resolveTarget(target);
  } catch (error) {
    return error as MidctlError;
  }
  throw new Error("was accepted");
}

describe("an encrypted connection", () => {
  let front: Server;
  let port: number;
  beforeAll(async () => {
    front = frontWithTls();
    port = await listen(front);
  });
  afterAll(() => front.close());

  async function ask(host: string, parameters: string): Promise<unknown> {
    const db = openPostgres({ url: `postgres://postgres@${host}:${port}/postgres?${parameters}` });
    try {
      return await db.query("SELECT 1 AS one");
    } catch (error) {
      return error;
    } finally {
      await db.close();
    }
  }

  it("is made with a server whose authority is named", async () => {
    expect(await ask("localhost", `sslmode=verify-full&sslrootcert=${AUTHORITY}`)).toEqual([{ one: 1 }]);
  });

  it("is made when the authority alone is named", async () => {
    expect(await ask("localhost", `sslrootcert=${AUTHORITY}`)).toEqual([{ one: 1 }]);
  });

  it.each(["require", "verify-full", "verify-ca"])(
    "is refused to an unknown authority's server, sslmode=%s",
    async (mode) => {
      expect(await ask("localhost", `sslmode=${mode}`)).toMatchObject({
        code: "unavailable",
        message: expect.stringMatching(/certificate is not trusted here/),
      });
    },
  );

  it("is refused where the certificate is for another name, an address included", async () => {
    expect(await ask("127.0.0.1", `sslmode=verify-full&sslrootcert=${AUTHORITY}`)).toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/certificate was made out for another host/),
    });
  });

  it("ignores the name where only the authority is to be checked", async () => {
    expect(await ask("127.0.0.1", `sslmode=verify-ca&sslrootcert=${AUTHORITY}`)).toEqual([{ one: 1 }]);
  });

  it("is not given up for a plain one where the server has none", async () => {
    const [server] = inject("servers");
    const db = openPostgres({
      url: `postgres://postgres@127.0.0.1:${server?.port}/postgres?sslmode=require`,
    });

    await expect(db.query("SELECT 1")).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/does not offer an encrypted connection/),
    });
    await db.close();
  });

  it("is refused where something was slipped in before encryption", async () => {
    const meddler = createServer((socket) => socket.once("data", () => socket.write("SEvil")));
    const meddled = openPostgres({
      url: `postgres://u@127.0.0.1:${await listen(meddler)}/d?sslmode=require`,
    });

    await expect(meddled.query("SELECT 1")).rejects.toMatchObject({ code: "unavailable" });
    await meddled.close();
    meddler.close();
  });
});

/** A test server as it would be with `ssl = on`: answers the request for encryption and passes on what it decrypts. */
function frontWithTls(): Server {
  const [server] = inject("servers");
  const credentials = { key: readFileSync(fixture("server.key")), cert: readFileSync(fixture("server.pem")) };
  return createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("readable", () => {
      socket.read(8);
      socket.write("S");
      const decrypted = new TLSSocket(socket, { isServer: true, ...credentials });
      const upstream = connect(`${server?.socketDir}/.s.PGSQL.${server?.port}`);
      decrypted.on("error", () => upstream.destroy()).on("close", () => upstream.destroy());
      upstream.on("error", () => decrypted.destroy());
      decrypted.pipe(upstream).pipe(decrypted);
    });
  });
}
