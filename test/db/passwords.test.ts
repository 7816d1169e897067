import { chmodSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, inject, it, vi } from "vitest";
import { matchPassword } from "../../src/db/passfile.ts";
import { type Endpoint, resolveTarget } from "../../src/db/target.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(inject("scratch"), "passwords-"));
  vi.stubEnv("PGPASSWORD", "");
  vi.stubEnv("PGPASSFILE", join(home, "none"));
});
afterEach(() => vi.unstubAllEnvs());

function keep(name: string, text: string, mode = 0o600): string {
  const path = join(home, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

const WANTED = { host: "db.example", port: 5432, database: "midctl", user: "alice" };

describe("a line of the password file", () => {
  it.each([
    ["db.example:5432:midctl:alice:pw", "pw"],
    ["*:*:*:*:pw", "pw"],
    ["# a comment\n\n*:*:*:bob:no\n*:*:*:alice:pw\n*:*:*:*:late", "pw"],
    ["*:*:*:alice:a\\:b\\\\c", "a:b\\c"],
    ["*:*:*:alice:pw\r\n", "pw"],
    ["db.other:*:*:*:no", null],
    ["*:5433:*:*:no", null],
    ["*:*:other:*:no", null],
    ["db.*:*:*:*:no", null],
    ["too:few:fields", null],
  ])("%j gives %j", (text, password) => {
    expect(matchPassword(text, WANTED)).toBe(password);
  });

  it("escapes colons in every field", () => {
    expect(matchPassword("fe80\\:\\:1:*:*:*:pw", { ...WANTED, host: "fe80::1" })).toBe("pw");
  });

  it.each(["/run/pg", "localhost"])("may name a socket by %s", (host) => {
    expect(matchPassword(`${host}:*:*:*:pw`, { ...WANTED, host: "/run/pg" })).toBe("pw");
  });
});

describe("a password", () => {
  const url = "postgres://alice@db.example/midctl";
  const passwordOf = (target: Parameters<typeof resolveTarget>[0]) => resolveTarget(target).password;

  it("comes from PGPASSFILE", () => {
    vi.stubEnv("PGPASSFILE", keep("pass", "*:*:*:alice:from-file"));

    expect(passwordOf({ url })).toBe("from-file");
  });

  it("does not come from a file that others can read, which is said and not quoted", () => {
    const path = keep("pass", "*:*:*:alice:from-file", 0o640);
    vi.stubEnv("PGPASSFILE", path);
    const warnings: string[] = [];

    const { password } = resolveTarget({ url }, (text) => warnings.push(text));

    expect(password).toBeNull();
    expect(warnings).toEqual([
      `the password file ${path} can be read by others and was ignored: chmod 600 ${path}`,
    ]);
  });

  it("is taken from the URL before a command, that before the service, PGPASSWORD and the file", () => {
    vi.stubEnv("PGPASSFILE", keep("pass", "*:*:*:*:from-file"));
    vi.stubEnv("PGSERVICEFILE", keep("services", "[prod]\npassword=from-service\n"));
    vi.stubEnv("PGPASSWORD", "from-variable");

    expect([
      passwordOf({
        url: "postgres://alice:from-url@db.example/midctl?service=prod",
        password: "from-command",
      }),
      passwordOf({ url: `${url}?service=prod`, password: "from-command" }),
      passwordOf({ url: `${url}?service=prod` }),
      passwordOf({ url }),
    ]).toEqual(["from-url", "from-command", "from-service", "from-variable"]);
  });
});

describe("a service", () => {
  const FILE = `# ours
[other]
host=nowhere

[prod]
host = db.example
port=6432
dbname=midctl
user=alice
password=hunter2
sslmode=verify-ca
connect_timeout=3
[later]
host=nowhere
`;
  const resolve = (url: string): Endpoint => resolveTarget({ url });
  beforeEach(() => vi.stubEnv("PGSERVICEFILE", keep("services", FILE)));

  it.each(["postgres:///?service=prod", "postgres://?service=prod"])("gives what %s leaves out", (url) => {
    expect(resolve(url)).toMatchObject({
      host: "db.example",
      port: 6432,
      database: "midctl",
      user: "alice",
      password: "hunter2",
      tls: { checkName: false },
      weakness: "sslmode=verify-ca",
      connectTimeout: 3,
    });
  });

  it("is outranked by the URL", () => {
    expect(resolve("postgres://bob@db.second:7000/mine?service=prod&sslmode=verify-full")).toMatchObject({
      host: "db.second",
      port: 7000,
      database: "mine",
      user: "bob",
      tls: { checkName: true },
      weakness: null,
    });
  });

  it.each([
    ["is not there", "postgres:///?service=unknown", /no service "unknown" in .*services/],
    ["names no host", "postgres:///?service=bare", /names no host/],
    ["has a line that would be ignored", "postgres:///?service=odd", /line 2 of .*odd-services/],
  ])("that %s is refused, and its lines never quoted", (_, url, message) => {
    vi.stubEnv("PGSERVICEFILE", keep("odd-services", "[odd]\nchannel_binding=hunter2\n[bare]\nuser=x\n"));

    expect(() => resolve(url)).toThrow(message);
    expect(() => resolve(url)).not.toThrow(/hunter2/);
  });
});
