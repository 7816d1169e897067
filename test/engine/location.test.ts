import { expect, test } from "vitest";
import { chooseNamedAccount, chooseOwnAccount } from "../../src/db/engine/account.ts";
import { addressOf, locateStore } from "../../src/db/engine/location.ts";
import { judgeByPs } from "../../src/db/engine/postmaster.ts";
import { refuseStart } from "../../src/db/engine/refusals.ts";

test("MIDCTL_DATA_DIR comes first and is made absolute", () => {
  expect(locateStore({ MIDCTL_DATA_DIR: "/srv/mid", HOME: "/home/ada" })).toEqual({
    dir: "/srv/mid",
    source: "MIDCTL_DATA_DIR",
  });
  expect(locateStore({ MIDCTL_DATA_DIR: "mid" }).dir).toBe(`${process.cwd()}/mid`);
});

test("root and a user have two stores", () => {
  const located = locateStore({ HOME: "/home/ada" }, "linux", 1000);
  expect(located).toEqual({ dir: "/home/ada/.local/share/midctl", source: "xdg" });
  expect(locateStore({ HOME: "/home/ada" }, "linux", 0)).toEqual({ dir: "/var/lib/midctl", source: "root" });
});

test("XDG_DATA_HOME counts where it is absolute, as its standard says", () => {
  expect(locateStore({ HOME: "/home/ada", XDG_DATA_HOME: "/data" }, "linux", 1000).dir).toBe("/data/midctl");
  const relative = locateStore({ HOME: "/home/ada", XDG_DATA_HOME: "data" }, "linux", 1000);
  expect(relative.dir).toBe("/home/ada/.local/share/midctl");
});

test("a user without home is a usage error that names MIDCTL_DATA_DIR", () => {
  expect(() => locateStore({ HOME: "/" }, "linux", 54_321)).toThrow(
    expect.objectContaining({ code: "usage", hint: expect.stringContaining("MIDCTL_DATA_DIR") }),
  );
});

test("Windows is refused, naming WSL and a URL", () => {
  expect(() => locateStore({}, "win32")).toThrow(
    expect.objectContaining({ code: "unavailable", hint: expect.stringMatching(/WSL.*postgres:\/\//) }),
  );
});

test("the socket lies in the store while its path has at most 90 bytes, of whatever characters", () => {
  const short = `/${"d".repeat(90 - "/d/run/.s.PGSQL.5432".length + 1)}`;
  expect(addressOf({ dir: short, source: "xdg" }).socketDir).toBe(`${short}/run`);
  expect(addressOf({ dir: `${short}d`, source: "xdg" }).socketDir).toMatch(/^\/tmp\/midctl-/);
  expect(addressOf({ dir: `/${"é".repeat(40)}`, source: "xdg" }).socketDir).toMatch(/^\/tmp\/midctl-/);
});

test("two long paths have two sockets", () => {
  const sockets = ["a", "b"].map(
    (end) => addressOf({ dir: `/${"d".repeat(90)}${end}`, source: "xdg" }).socketDir,
  );
  expect(new Set(sockets).size).toBe(2);
});

test("root's engine user is a number that neither passwd nor group knows", () => {
  const passwd = "root:x:0:0::/root:/bin/sh\nsomebody:x:60743:60743::/:/bin/sh\n";
  expect(chooseOwnAccount(passwd, "crew:x:60744:\n")).toMatchObject({
    uid: 60_745,
    gid: 60_745,
    switched: true,
  });
});

test("initdb is lent to PostgreSQL's own user, else to a system user, never to nobody or root", () => {
  const passwd = "root:x:0:0::/:/\nnobody:x:65534:65534::/:/\nbin:x:2:2::/:/\n";
  expect(chooseNamedAccount(`${passwd}postgres:x:101:102::/:/\n`)).toMatchObject({ uid: 101, gid: 102 });
  expect(chooseNamedAccount(passwd)).toMatchObject({ uid: 2 });
  expect(chooseNamedAccount("root:x:0:0::/:/\nnobody:x:65534:65534::/:/\n")).toBeNull();
});

test("without /proc (macOS) a server is known by its name and start time", () => {
  const startedAt = Date.parse("2026-05-04T10:20:30") / 1000;
  const file = { pid: 7, startedAt, status: "ready" } as const;
  expect(judgeByPs(file, "Mon May  4 10:20:31 2026 /opt/x/bin/postgres\n")).toBe("ours");
  expect(judgeByPs(file, "Mon May  4 10:25:31 2026 /opt/x/bin/postgres\n")).toBe("stranger");
  expect(judgeByPs(file, "Mon May  4 10:20:30 2026 /usr/bin/vim\n")).toBe("stranger");
  expect(judgeByPs(file, "")).toBe("gone");
  expect(judgeByPs(file, null)).toBe("gone");
});

test("a file system without sockets is told from the server's log", () => {
  const log =
    '2026-01-01 00:00:00.000 UTC [9] LOG:  could not bind Unix address "/m/run/.s.PGSQL.5432": Operation not permitted\n' +
    "2026-01-01 00:00:00.000 UTC [9] FATAL:  could not create any Unix-domain sockets\n";
  expect(refuseStart("/m", "/m/server.log", log)).toMatchObject({
    code: "unavailable",
    message: expect.stringContaining("/m"),
    hint: expect.stringContaining("MIDCTL_DATA_DIR"),
  });
});

test("another failure quotes the server's last fatal line, without its stamp", () => {
  const log =
    "2026-01-01 00:00:00.000 UTC [9] FATAL:  could not load pg_hba.conf\n2026-01-01 00:00:00.000 UTC [9] LOG:  bye\n";
  const refusal = refuseStart("/m", "/m/server.log", log);
  expect(refusal.message).toContain("FATAL:  could not load pg_hba.conf");
  expect(refusal.message).not.toContain("2026");
  expect(refusal.hint).toContain("/m/server.log");
});
