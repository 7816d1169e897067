import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasSshKeygen } from "../support/ssh.ts";
import { type Answer, type Desk, openDesk } from "./desk.ts";
import { openSession } from "./pty.ts";

describe.runIf(hasSshKeygen)("midctl audit prove and audit verify --proof", () => {
  let desk: Desk;
  let key: string;
  let verifierKey: string;
  let checkpoints: string;
  /** What the last one of the file saw. */
  let seen: number;
  beforeAll(async () => {
    desk = await openDesk();
    key = join(desk.directory, "log_ed25519");
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key]);
    checkpoints = join(desk.directory, "checkpoints");
    for (const name of ["one", "two", "three"]) {
      await desk.identity(name);
      const made = await desk.ask(["audit", "checkpoint", "--key", key, "--out", checkpoints]);
      ({ verifierKey, size: seen } = made);
    }
    await desk.identity("later");
  });
  afterAll(() => desk.dispose());

  it("prove an entry that audit names, against the head signed now", async () => {
    const [event] = (await desk.ask("audit")).events;
    const proof = await prove(["--event", event.id, "--key", key]);

    expect(await verify(proof, "--checkpoint-key", verifierKey)).toEqual({
      schemaVersion: 1,
      kind: "inclusion",
      origin: verifierKey.replace(/\+.*$/, ""),
      size: seen + 1,
      index: event.index,
      entry: expect.stringContaining('"slug": "later"'),
      from: null,
      to: null,
      checked: "signature",
      vouched: [seen + 1],
    });
  });

  it("prove an entry against the last of a file of checkpoints, to whoever has that file", async () => {
    const proof = await prove(["--event", "0", "--checkpoint", checkpoints]);

    expect(await verify(proof, "--checkpoint", checkpoints)).toMatchObject({
      index: 0,
      size: seen,
      checked: "checkpoint",
    });
  });

  it("refuse an entry that is later than the checkpoint, and say to make a new one", async () => {
    expect(
      await desk.refuse(["audit", "prove", "--event", `log_${seen}`, "--checkpoint", checkpoints]),
    ).toMatchObject({ exit: 5, code: "conflict", hint: expect.stringMatching(/^Make a new checkpoint/) });
    expect(await desk.refuse("audit prove --event log_4711")).toMatchObject({ exit: 3, code: "not_found" });
  });

  it("prove that the log goes on from a size, and from a file's last checkpoint", async () => {
    const bySize = await prove(["--from", "1", "--to", checkpoints]);
    const byFile = await prove(["--from", checkpoints, "--key", key]);

    expect(await verify(bySize, "--checkpoint-key", verifierKey)).toMatchObject({
      kind: "consistency",
      from: 1,
      to: seen,
      vouched: [seen],
    });
    expect(await verify(byFile, "--checkpoint-key", verifierKey)).toMatchObject({
      vouched: [seen, seen + 1],
    });
    expect(await verify(byFile, "--checkpoint", checkpoints)).toMatchObject({
      vouched: [seen],
      checked: "checkpoint",
    });
  });

  it("say that nobody vouches for a head that is not signed, on both sides", async () => {
    const made = await desk.run("audit prove --event 0");
    const path = fileOf(made.stdout);
    const checked = await desk.run(["audit", "verify", "--proof", path]);

    expect(made).toMatchObject({ code: 0, stderr: expect.stringMatching(/^Nobody signed this head/) });
    expect(checked.code).toBe(0);
    expect(checked.stdout).toMatch(
      /^Unproven\tconsistent in itself, and vouched for by nobody: log_0 is in the log$/m,
    );
    expect(checked.stdout).not.toMatch(/^Proven/m);
    expect(await verify(path)).toMatchObject({ checked: "arithmetic", vouched: [] });
  });

  it("say which of two heads nobody vouches for", async () => {
    const proof = await prove(["--from", checkpoints]);

    const { stdout } = await desk.run(["audit", "verify", "--proof", proof, "--checkpoint", checkpoints]);

    expect(stdout).toMatch(
      /the earlier head is among the checkpoints that were kept; nobody vouches for the later/,
    );
  });

  it("print the proof alone in a pipe, by --json and into --out, each of which verifies", async () => {
    const out = join(desk.directory, "out.proof");
    const words = ["audit", "prove", "--event", "1", "--key", key];
    const piped = await desk.run([...words, "--out", out]);
    const json = await desk.run([...words, "--json"]);

    expect(readFileSync(out, "utf8")).toBe(piped.stdout);
    expect(JSON.parse(json.stdout)).toEqual({ schemaVersion: 1, ...JSON.parse(piped.stdout) });
    expect(piped.stderr).toContain(`Verifier key: ${verifierKey}\n`);
    for (const proof of [out, fileOf(json.stdout)]) {
      expect(await verify(proof, "--checkpoint-key", verifierKey)).toMatchObject({ index: 1 });
    }
  });

  it("show on a terminal what is proven, and not the hashes", async () => {
    const { screen } = await openSession(desk, "$midctl audit prove --event 1").ended;

    expect(screen).toMatch(/Proven\S* +log_1 is in the log/);
    expect(screen).not.toMatch(/"path"/);
  });

  it("write the same proof once, and overwrite nothing else", async () => {
    const out = join(desk.directory, "once.proof");
    const words = ["audit", "prove", "--event", "2", "--checkpoint", checkpoints, "--out", out];
    await desk.ask(words);
    const before = readFileSync(out, "utf8");

    await desk.ask(words);
    const refusal = await desk.refuse(words.map((word) => (word === "2" ? "1" : word)));

    expect(refusal).toMatchObject({
      exit: 5,
      code: "conflict",
      message: expect.stringMatching(/is not overwritten/),
    });
    expect(readFileSync(out, "utf8")).toBe(before);
  });

  it("write nothing in a dry run", async () => {
    const out = join(desk.directory, "dry.proof");

    await desk.ask(["audit", "prove", "--event", "1", "--out", out, "--dry-run"]);

    expect(existsSync(out)).toBe(false);
  });

  it("verify where no database is, and make none", async () => {
    const proof = await prove(["--event", "1", "--key", key]);
    const data = join(desk.directory, "no-data");
    const nowhere = { MIDCTL_DATABASE_URL: undefined, MIDCTL_DATA_DIR: data };
    const words = ["audit", "verify", "--proof", proof, "--checkpoint-key", verifierKey];

    expect(await desk.ask(words, { env: nowhere })).toMatchObject({ checked: "signature" });
    expect(existsSync(data)).toBe(false);
    expect(await desk.ask(words, { env: { MIDCTL_DATABASE_URL: "postgres://u@192.0.2.1/x" } })).toMatchObject(
      {
        checked: "signature",
      },
    );
  });

  it.each<[string, (proof: Answer) => Answer, string]>([
    [
      "index in its entry",
      (proof) => ({ ...proof, entry: proof.entry.replace('"index": 1', '"index": 2') }),
      "entry",
    ],
    ["actor in its entry", (proof) => ({ ...proof, entry: proof.entry.replace("alice", "mallory") }), "path"],
    ["path", (proof) => ({ ...proof, path: proof.path.toReversed() }), "path"],
    ["size", (proof) => ({ ...proof, size: proof.size + 4 }), "path"],
    ["origin", (proof) => ({ ...proof, origin: "midctl/another" }), "checkpoint"],
    [
      "signature",
      (proof) => ({ ...proof, checkpoint: proof.checkpoint.replace(/.{12}\n$/, "AAAAAAAAAAA=\n") }),
      "signature",
    ],
    ["checkpoint, which is gone", (proof) => ({ ...proof, checkpoint: null }), "signature"],
  ])("find a proof with another %s: exit 5, and what fails", async (_what, change, fails) => {
    const good = JSON.parse(readFileSync(await prove(["--event", "1", "--key", key]), "utf8"));
    const proof = fileOf(JSON.stringify(change(good)));

    const refusal = await desk.refuse(["audit", "verify", "--proof", proof, "--checkpoint-key", verifierKey]);

    expect(refusal).toMatchObject({ exit: 5, code: "conflict", details: { fails } });
    expect(refusal.message).toMatch(/^The proof does not hold\. .*; nothing is proven\.$/);
  });

  it("find a head that is in no file of checkpoints, and one that has another root there", async () => {
    const proof = await prove(["--event", "1", "--key", key]);
    const forged = JSON.parse(
      readFileSync(await prove(["--event", "1", "--checkpoint", checkpoints]), "utf8"),
    );
    const another = fileOf(forged.checkpoint.replace(forged.root, Buffer.alloc(32, 7).toString("base64")));

    expect(
      await desk.refuse(["audit", "verify", "--proof", proof, "--checkpoint", checkpoints]),
    ).toMatchObject({
      exit: 5,
      details: { fails: "kept" },
    });
    expect(
      await desk.refuse([
        "audit",
        "verify",
        "--proof",
        fileOf(JSON.stringify(forged)),
        "--checkpoint",
        another,
      ]),
    ).toMatchObject({
      exit: 5,
      details: { fails: "kept" },
      message: expect.stringMatching(/has another root/),
    });
  });

  it("look for the head in a file of very many checkpoints", async () => {
    const note = readFileSync(checkpoints, "utf8");
    const [line = ""] = note.split("\n");
    const others = Array.from({ length: 5000 }, (_, n) =>
      note.slice(0, note.indexOf(`\n${line}`, 1) + 1).replace(/\n\d+\n/, `\n${1000 + n}\n`),
    );
    const many = fileOf(others.slice(0, 2500).join("") + note + others.slice(2500).join(""));
    const proof = await prove(["--event", "1", "--checkpoint", checkpoints]);

    expect(await verify(proof, "--checkpoint", many)).toMatchObject({ checked: "checkpoint" });
  });

  it.each<[string, () => string | Buffer, number, RegExp]>([
    ["nothing", () => "", 2, /ends too soon, at line 1, column 1/],
    ["no JSON", () => "proof", 2, /it is not JSON, at line 1, column 1/],
    ["a byte order mark", () => '\ufeff{"version":1}', 2, /it is not JSON, at line 1, column 1/],
    ["no UTF-8", () => Buffer.from([0x7b, 0xff, 0x7d]), 2, /it is not UTF-8/],
    ["another document", () => '{"schemaVersion":1,"events":[]}', 2, /there is no field "events"/],
    [
      "another version",
      () => '{"version":"midctl-log-proof@v2"}',
      2,
      /its version is not midctl-log-proof@v1/,
    ],
    ["10 MiB", () => " ".repeat(10 * 1024 * 1024), 2, /is larger than any proof/],
    ["NULs", () => Buffer.alloc(4096), 2, /it is not JSON, at line 1, column 1/],
    ["an escape sequence", () => '{"\\u001b[31m":1}', 2, /no field "\\u\{1B\}\[31m"/],
  ])("say of a file with %s that it is no proof", async (_what, content, exit, says) => {
    const refusal = await desk.refuse(["audit", "verify", "--proof", fileOf(content())]);

    expect(refusal).toMatchObject({ exit, code: "usage", message: expect.stringMatching(says) });
    expect(refusal.message).toMatch(/nothing was checked/);
  });

  it.each<[string, () => string | Buffer, RegExp]>([
    ["garbage", () => "garbage", /Note 1 of ".*" is no checkpoint; nothing was checked/],
    ["half of one behind whole ones", () => readFileSync(checkpoints, "utf8").slice(0, -9), /Note 3 of/],
    ["NULs without end", () => Buffer.alloc(6 * 1024 * 1024), /Note 1 of/],
    ["no UTF-8", () => Buffer.from([0xff, 0xfe, 0x0a]), /Note 1 of/],
  ])("say of a file with %s that it is none of checkpoints", async (_what, content, says) => {
    const proof = await prove(["--event", "1", "--checkpoint", checkpoints]);

    expect(
      await desk.refuse(["audit", "verify", "--proof", proof, "--checkpoint", fileOf(content())]),
    ).toMatchObject({ exit: 2, code: "usage", message: expect.stringMatching(says) });
  });

  it.each([
    [
      "a proof that is not there",
      "audit verify --proof ./nowhere",
      /cannot be read \(ENOENT\); nothing was checked/,
    ],
    ["a proof that is a directory", "audit verify --proof .", /is no regular file; nothing was checked/],
    ["a device", "audit verify --proof /dev/zero", /is no regular file; nothing was checked/],
    [
      "a key that is none",
      "audit verify --proof x --checkpoint-key ssh-ed25519",
      /--checkpoint-key: it is no verifier key/,
    ],
    ["neither an entry nor a size", "audit prove", /Give either --event or --from/],
    ["both", "audit prove --event 1 --from 1", /Give either --event or --from/],
    ["a later head without an earlier one", "audit prove --event 1 --to 2", /--to goes with --from/],
    ["a checkpoint beside sizes", "audit prove --from 1 --checkpoint x", /--checkpoint goes with --event/],
    [
      "a key beside another head",
      "audit prove --from 1 --to 2 --key x",
      /--key signs the head as it is now, and --to/,
    ],
    ["an agent's event", "audit prove --event ev_019a6f2e", /--event: this is no entry of the log/],
    ["a negative entry", "audit prove --event=-1", /--event: this is no entry of the log/],
    ["an entry beyond 2^53", "audit prove --event 9007199254740993", /--event: this is no entry of the log/],
    ["a negative size", "audit prove --from=-1", /--from: this is no number of entries/],
    ["a size with a zero in front", "audit prove --from 01", /--from: this is no number of entries/],
    [
      "a file of checkpoints that is not there",
      "audit prove --event 1 --checkpoint ./nowhere",
      /--checkpoint: "\.\/nowhere" holds no/,
    ],
  ])("refuse %s", async (_what, words, says) => {
    expect(await desk.refuse(words)).toMatchObject({
      exit: 2,
      code: "usage",
      message: expect.stringMatching(says),
    });
  });

  it("say of a file that does not end with a checkpoint that nothing was proven", async () => {
    const half = fileOf(readFileSync(checkpoints, "utf8").slice(0, -9));

    expect(await desk.refuse(["audit", "prove", "--event", "1", "--checkpoint", half])).toMatchObject({
      exit: 5,
      message: expect.stringMatching(/does not end with a checkpoint; nothing was proven/),
      hint: expect.stringMatching(/give --checkpoint another file/),
    });
  });

  let written = 0;
  /** A new file with this content. */
  function fileOf(content: string | Buffer): string {
    written += 1;
    const path = join(desk.directory, `written-${written}`);
    writeFileSync(path, content);
    return path;
  }

  /** The file of a new proof. */
  async function prove(words: readonly string[]): Promise<string> {
    const made = await desk.run(["audit", "prove", ...words]);
    expect(made, made.stderr).toMatchObject({ code: 0 });
    return fileOf(made.stdout);
  }

  function verify(proof: string, ...words: readonly string[]): Promise<Answer> {
    return desk.ask(["audit", "verify", "--proof", proof, ...words], {
      env: { MIDCTL_DATABASE_URL: undefined },
    });
  }
});
