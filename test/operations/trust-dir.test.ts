import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { loadTrust, watchTrust, weakPermissions } from "../../src/operations/approval/trust-dir.ts";
import { refusal } from "../domain/refusal.ts";
import { makeKey } from "../support/ssh.ts";

const [alice, bob, carol] = [makeKey("ssh-ed25519"), makeKey("ssh-ed25519"), makeKey("ssh-ed25519")];
const scratch = mkdtempSync(join(tmpdir(), "midctl-trust-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const good = {
  allowed_signers: `alice ${alice.line}\nbob ${bob.line}\n`,
  "policy.json": '{"quorum":1}',
};
const withCarol = { ...good, allowed_signers: `${good.allowed_signers}carol ${carol.line}\n` };

let made = 0;

function makeDirectory(files: Record<string, string> = good): string {
  const dir = join(scratch, `trust-${made++}`);
  mkdirSync(dir, { mode: 0o755 });
  for (const [name, content] of Object.entries(files)) writeFileSync(join(dir, name), content);
  return dir;
}

/** A watched directory and the clock that it is watched by, which moves only when told to. */
function watch(dir: string) {
  let time = 0;
  const source = watchTrust(dir, { now: () => time });
  return {
    source,
    pass: (ms: number) => {
      time += ms;
    },
    names: () => source.current()?.signers.map(({ principal }) => principal) ?? null,
  };
}

/** As an editor or `git checkout` writes: beside its place, then renamed. */
function replaceFile(dir: string, name: string, content: string): void {
  writeFileSync(join(dir, `${name}.new`), content);
  renameSync(join(dir, `${name}.new`), join(dir, name));
}

describe("loading a trust directory", () => {
  test("takes signers, revoked keys and policy from their files", () => {
    const dir = makeDirectory({ ...withCarol, revoked_keys: `${carol.line}\n` });

    const trust = loadTrust(dir);

    expect(trust.signers.map(({ principal }) => principal)).toEqual(["alice", "bob", "carol"]);
    expect(trust.revoked).toEqual(new Set([carol.blob.toString("base64")]));
    expect(trust.policy).toMatchObject({ quorum: 1, requesterSigns: true });
  });

  test.each(["allowed_signers", "policy.json"])(
    "without %s is refused, naming directory and file",
    (missing) => {
      const dir = makeDirectory(good);
      rmSync(join(dir, missing));

      const error = refusal(() => loadTrust(dir));

      expect(error).toMatchObject({ code: "usage", message: expect.stringContaining(dir) });
      expect(error.message).toContain(missing);
      expect(error.hint).not.toBeNull();
    },
  );

  test("that is not there is refused", () => {
    const error = refusal(() => loadTrust(join(scratch, "nowhere")));

    expect(error).toMatchObject({
      code: "usage",
      message: expect.stringMatching(/nowhere could not be read: it is not there/),
    });
  });

  test("names file and line of what is not understood", () => {
    const dir = makeDirectory({ ...good, allowed_signers: `alice ${alice.line}\nbob nonsense\n` });

    expect(refusal(() => loadTrust(dir)).message).toContain(`${dir}/allowed_signers:2:`);
  });

  test("refuses a file larger than 1 MiB", () => {
    const dir = makeDirectory({ ...good, revoked_keys: `#${"x".repeat(1_048_576)}` });

    expect(refusal(() => loadTrust(dir)).message).toMatch(
      /revoked_keys could not be read: it is larger than 1 MiB/,
    );
  });

  test("takes a file of exactly 1 MiB", () => {
    const dir = makeDirectory({ ...good, revoked_keys: `#${"x".repeat(1_048_575)}` });

    expect(loadTrust(dir).revoked.size).toBe(0);
  });

  test("refuses what is no plain file", () => {
    const dir = makeDirectory(good);
    mkdirSync(join(dir, "revoked_keys"));

    expect(refusal(() => loadTrust(dir)).message).toMatch(
      /revoked_keys could not be read: it is no plain file/,
    );
  });

  test("does not take a link to nowhere for no revoked keys", () => {
    const dir = makeDirectory(good);
    symlinkSync(join(dir, "gone"), join(dir, "revoked_keys"));

    expect(refusal(() => loadTrust(dir)).code).toBe("usage");
  });

  test("refuses a binary revocation list, and says what to write instead", () => {
    const dir = makeDirectory({ ...good, revoked_keys: "SSHKRL\n\0\0\0\0\u0001" });

    expect(refusal(() => loadTrust(dir)).hint).toMatch(/as text/);
  });
});

describe("following a trust directory", () => {
  test("sees a file that was replaced, a second later at the latest, and counts it", () => {
    const dir = makeDirectory();
    const { source, pass, names } = watch(dir);

    replaceFile(dir, "allowed_signers", withCarol.allowed_signers);
    pass(1000);

    expect(names()).toEqual(["alice", "bob", "carol"]);
    expect(source.generation).toBe(1);
  });

  test("does not look again within a second", () => {
    const dir = makeDirectory();
    const { pass, names } = watch(dir);

    replaceFile(dir, "allowed_signers", withCarol.allowed_signers);
    pass(999);

    expect(names()).toEqual(["alice", "bob"]);
  });

  test("sees a link that is turned to another directory", () => {
    const [link, next] = [join(scratch, `link-${made++}`), join(scratch, `link-${made++}`)];
    symlinkSync(makeDirectory(good), link);
    const { source, pass, names } = watch(link);

    symlinkSync(makeDirectory(withCarol), next);
    renameSync(next, link);
    pass(1000);

    expect(names()).toEqual(["alice", "bob", "carol"]);
    expect(source.generation).toBe(1);
  });

  test("sees keys that are revoked where none were", () => {
    const dir = makeDirectory(withCarol);
    const { source, pass } = watch(dir);

    replaceFile(dir, "revoked_keys", carol.line);
    pass(1000);

    expect(source.current()?.revoked.size).toBe(1);
  });

  test("sees content of the same size and time of change", () => {
    const dir = makeDirectory();
    const file = join(dir, "allowed_signers");
    const then = new Date("2026-01-01T00:00:00Z");
    utimesSync(file, then, then);
    const { pass, names } = watch(dir);
    pass(1000);
    names();

    writeFileSync(file, good.allowed_signers.replace("alice", "ALICE"));
    utimesSync(file, then, then);
    pass(1000);

    expect(names()).toEqual(["ALICE", "bob"]);
  });

  test("reads what is new once more, for it may change within one tick of its clock", () => {
    const dir = makeDirectory();
    const { pass, names, source } = watch(dir);
    const first = source.current();
    pass(1000);

    expect(names()).toEqual(["alice", "bob"]);
    expect(source.current()).toBe(first);
    expect(source.generation).toBe(0);
  });

  test("does not count a file that was written anew with the same content", () => {
    const dir = makeDirectory();
    const { source, pass, names } = watch(dir);

    replaceFile(dir, "policy.json", good["policy.json"]);
    pass(1000);

    expect(names()).toEqual(["alice", "bob"]);
    expect(source.generation).toBe(0);
  });

  test("keeps the last good root for less than 10 seconds where the new one is not understood, and says why", () => {
    const dir = makeDirectory();
    const { source, pass, names } = watch(dir);

    replaceFile(dir, "policy.json", '{"quorum":');
    pass(1000);
    const atOnce = names();
    pass(8999);
    const before = names();
    pass(1);

    expect([atOnce, before]).toEqual([
      ["alice", "bob"],
      ["alice", "bob"],
    ]);
    expect(names()).toBeNull();
    expect(source.fault).toContain("policy.json");
  });

  test("keeps no root that was last seen whole longer than that ago, however late it looks", () => {
    const dir = makeDirectory();
    const { pass, names } = watch(dir);

    rmSync(dir, { recursive: true });
    pass(60_000);

    expect(names()).toBeNull();
  });

  test("believes the directory again once it can be read", () => {
    const dir = makeDirectory();
    const { source, pass, names } = watch(dir);
    replaceFile(dir, "policy.json", "{");
    pass(30_000);
    names();

    replaceFile(dir, "policy.json", '{"quorum":1,"requesterSigns":false}');
    pass(1000);

    expect(names()).toEqual(["alice", "bob"]);
    expect(source.fault).toBeNull();
    expect(source.generation).toBe(1);
  });

  test("begins without a root where there is no directory, and takes it when it comes", () => {
    const dir = join(scratch, `later-${made++}`);
    const { source, pass, names } = watch(dir);
    const first = names();

    renameSync(makeDirectory(), dir);
    pass(1000);

    expect(first).toBeNull();
    expect(names()).toEqual(["alice", "bob"]);
    expect(source.generation).toBe(0);
  });
});

describe("weak permissions", () => {
  test("are none where only the owner may write", () => {
    const dir = makeDirectory();

    expect(weakPermissions(dir)).toEqual([]);
  });

  test.each([
    [
      "a file that its group may write",
      "policy.json",
      0o664,
      /policy\.json can be changed by its group \(mode 0664\)/,
    ],
    ["a file that anybody may write", "allowed_signers", 0o666, /allowed_signers can be changed by anybody/],
    ["a directory that anybody may write", ".", 0o777, /can be changed by anybody \(mode 0777\)/],
  ])("are %s", (_name, file, mode, sentence) => {
    const dir = makeDirectory();
    chmodSync(join(dir, file), mode);

    expect(weakPermissions(dir)).toEqual([expect.stringMatching(sentence)]);
  });

  test("are those of a directory above", () => {
    const above = makeDirectory({});
    const dir = join(above, "trust");
    renameSync(makeDirectory(), dir);
    chmodSync(above, 0o775);

    expect(weakPermissions(dir)).toEqual([`${above} can be changed by its group (mode 0775)`]);
  });

  test("are those of the place where the link lies", () => {
    const shelf = makeDirectory({});
    symlinkSync(makeDirectory(), join(shelf, "current"));
    chmodSync(shelf, 0o777);

    expect(weakPermissions(join(shelf, "current"))).toEqual([
      `${shelf} can be changed by anybody (mode 0777)`,
    ]);
  });

  test("are those of a file that a link leads to", () => {
    const dir = makeDirectory();
    const elsewhere = makeDirectory({ revoked: "" });
    chmodSync(join(elsewhere, "revoked"), 0o666);
    symlinkSync(join(elsewhere, "revoked"), join(dir, "revoked_keys"));

    expect(weakPermissions(dir)).toEqual([expect.stringMatching(/revoked can be changed by anybody/)]);
  });
});
