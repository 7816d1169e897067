import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createToken } from "../../src/domain/token.ts";
import { type Desk, openDesk } from "./desk.ts";

let desk: Desk;
let credential: string;

beforeAll(async () => {
  desk = await openDesk();
  await desk.identity("deploy-bot");
  await desk.identity("deploy-bot-2");
  await desk.identity("codex-1");
  credential = (await desk.issue("deploy-bot")).id;
});
afterAll(() => desk.dispose());

describe("a slug that", () => {
  const overLong = "a".repeat(64);

  it.each([
    ["is unknown", "nobody", 3, null],
    ["is nearly one that exists", "deploy-bto", 3, "deploy-bot"],
    ["is the beginning of the only one", "codex", 3, "codex-1"],
    ["has capitals", "Deploy-Bot", 2, "deploy-bot"],
    ["holds a Cyrillic look-alike", "dеploy-bot", 2, "deploy-bot"],
    ["holds a full-width letter", "ｄeploy-bot", 2, "deploy-bot"],
    ["holds an invisible character", "deploy\u200b-bot", 2, "deploy-bot"],
    ["is over-long", overLong, 2, null],
    ["is empty", "", 2, null],
  ])("%s is refused with what was meant, for looking and for changing", async (_, slug, exit, meant) => {
    for (const words of [
      ["identity", "show", slug],
      ["revoke", slug, "--yes"],
    ]) {
      const refusal = await desk.refuse(words);

      expect(refusal).toMatchObject({ exit, code: exit === 3 ? "not_found" : "usage" });
      if (meant !== null) expect(refusal.hint).toBe(`Did you mean ${meant}?`);
    }
  });

  it("is the beginning of several is refused without choosing one", async () => {
    const refusal = await desk.refuse("pause deploy");

    expect(refusal).toMatchObject({ exit: 3, details: { suggestion: null } });
    expect(await desk.ask("identity show deploy-bot")).toMatchObject({ identity: { status: "active" } });
  });

  it("is no slug is not created", async () => {
    for (const slug of ["Deploy-Bot", "bot-", "a_b", "dеploy"]) {
      expect(await desk.refuse(["identity", "create", slug, "--owner", "x"])).toMatchObject({ exit: 2 });
    }
    expect((await desk.ask("list")).identities).toHaveLength(3);
  });
});

describe("a reference", () => {
  it("to an unknown credential, token or identity is exit 3", async () => {
    for (const ref of ["mc_zzzzzzzzzzzz", "at_zzzzzzzzzzzz", "nobody"]) {
      expect(await desk.refuse(["pause", ref])).toMatchObject({ exit: 3, code: "not_found" });
    }
  });

  it("to a credential in the wrong case of its prefix is named as it should be", async () => {
    expect(await desk.refuse(["pause", credential.replace("mc_", "MC_")])).toMatchObject({
      exit: 2,
      hint: `Did you mean ${credential}?`,
    });
  });

  it("whose end is mistyped is answered with the credential that begins so", async () => {
    const mistyped = `${credential.slice(0, -1)}${credential.endsWith("x") ? "y" : "x"}`;

    expect(await desk.refuse(["credential", "show", mistyped])).toMatchObject({
      exit: 3,
      hint: `Did you mean ${credential}?`,
    });
  });

  it("of the wrong kind says which command takes it", async () => {
    expect(await desk.refuse(["identity", "show", credential])).toMatchObject({
      exit: 2,
      hint: `midctl credential show ${credential} names its identity`,
    });
    expect(await desk.refuse("credential show deploy-bot")).toMatchObject({
      exit: 2,
      hint: "midctl identity show deploy-bot lists its credentials.",
    });
    expect((await desk.refuse("revoke ap_abcdefghijkl --yes")).hint).toContain("midctl approval cancel");
  });

  it("that is mistyped stops a command on many before it does anything", async () => {
    expect(await desk.refuse("pause codex-1 nobody --yes")).toMatchObject({ exit: 3 });
    expect(await desk.ask("identity show codex-1")).toMatchObject({ identity: { status: "active" } });
  });
});

describe("a duration", () => {
  it.each([
    ["30", "The unit is missing"],
    ["-5d", "no sign"],
    ["0d", "The shortest is 1s"],
    ["1M", "A month is not a fixed time"],
    ["99999d", "The longest is 3650d"],
    ["1.5h", "Only whole numbers"],
    ["", "Write a whole number"],
  ])("of %j is refused with advice", async (text, advice) => {
    const refusal = await desk.refuse(["identity", "create", "x", "--owner", "y", `--expires=${text}`]);

    expect(refusal).toMatchObject({ exit: 2, code: "usage" });
    expect(refusal.hint).toContain(advice);
  });

  it.each([
    ["--expires", "identity update deploy-bot"],
    ["--idle-ttl", "identity create x --owner y"],
    ["--expires", "credential issue codex-1"],
    ["--activate-within", "credential issue codex-1"],
    ["--unused-for", "list tokens"],
    ["--since", "audit"],
  ])("is judged by %s of `%s`, which is named", async (flag, command) => {
    const refusal = await desk.refuse([...command.split(" "), flag, "1M"]);

    expect(refusal).toMatchObject({ exit: 2, code: "usage" });
    expect(refusal.message).toMatch(new RegExp(`^${flag}: "1M"`));
  });

  it("of grace may be nothing and is at most a day", async () => {
    expect(await desk.refuse("credential rotate codex-1 --grace 25h")).toMatchObject({
      exit: 2,
      hint: "The longest is 1d.",
    });
    // Accepted as a duration; refused since there is nothing to rotate.
    expect(await desk.refuse("credential rotate codex-1 --grace 0s")).toMatchObject({ exit: 5 });
  });
});

describe("a label", () => {
  it.each(["identity create x --owner y", "identity update deploy-bot", "list"])(
    "without = is refused by `%s`, naming the flag",
    async (command) => {
      const refusal = await desk.refuse([...command.split(" "), "--label", "team"]);

      expect(refusal).toMatchObject({ exit: 2, code: "usage" });
      expect(refusal.message).toBe('--label: The label "team" has no "=".');
    },
  );

  it("given twice with two values is refused", async () => {
    const words = "identity create x --owner y --label a=1 --label a=2";
    expect(await desk.refuse(words)).toMatchObject({ exit: 2, code: "usage" });
  });
});

describe("the name and the reason that the log will show", () => {
  it.each([
    ["--reason", "x".repeat(1001)],
    ["--reason", "red \u001b[31m"],
    ["--reason", "  "],
    ["--actor", "x".repeat(256)],
    ["--actor", "al\u0007ice"],
  ])("%s %j is refused before anything is done", async (flag, text) => {
    const refusal = await desk.refuse(["pause", "codex-1", flag, text]);

    expect(refusal).toMatchObject({ exit: 2, code: "usage" });
    expect(refusal.message).toMatch(new RegExp(`^${flag}: `));
    expect(await desk.ask("identity show codex-1")).toMatchObject({ identity: { status: "active" } });
  });

  it("are judged from the environment too, where a token must not reach the log", async () => {
    const { text } = createToken("test", randomBytes);
    for (const name of ["MIDCTL_REASON", "MIDCTL_ACTOR"]) {
      const result = await desk.run("pause codex-1", { env: { [name]: `because of ${text}` } });

      expect(result).toMatchObject({ code: 2, stdout: "" });
      expect(result.stderr).toContain(`${name}: `);
      expect(result.stderr).not.toContain(text);
    }
    expect(await desk.ask("identity show codex-1")).toMatchObject({ identity: { status: "active" } });
  });
});

describe("a status to list by", () => {
  it("that there is not is answered with those that there are", async () => {
    const refusal = await desk.refuse("list --status lost");

    expect(refusal).toMatchObject({ exit: 2, code: "usage" });
    expect(refusal.message).toContain("--status: must be one of active, grace, pending");
  });
});

describe("a token in argv", () => {
  const { text } = createToken("test", randomBytes);

  it.each([
    ["as an argument", ["verify", text]],
    ["as a reference", ["revoke", text, "--yes"]],
    ["as a flag's value", ["identity", "create", "x", "--owner", text]],
    ["joined to a flag", ["identity", "create", "x", `--owner=${text}`]],
    ["inside other text", ["pause", "codex-1", "--reason", `leaked: ${text} by bob`]],
    ["as a label", ["identity", "update", "codex-1", "--label", `t=${text}`]],
    ["as a path", ["credential", "issue", "codex-1", "--token-file", text]],
    ["as a command", [text]],
    ["as a help topic", ["help", text]],
    ["after --", ["verify", "--", text]],
    ["beside --help", ["verify", "--help", text]],
  ])("%s is refused and never repeated", async (_, words) => {
    const result = await desk.run(["--debug", ...words]);

    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toContain("midctl revoke --token-stdin");
    expect(result.stderr).not.toContain(text.slice(-20));
  });

  it("is one line of JSON for a script", async () => {
    const refusal = await desk.refuse(["verify", text]);

    expect(refusal).toMatchObject({ exit: 2, code: "usage" });
    expect(JSON.stringify(refusal)).not.toContain(text.slice(-20));
  });

  it("is not completed either", async () => {
    const result = await desk.run(["__complete", "revoke", text]);

    expect(result.stdout + result.stderr).not.toContain(text.slice(-20));
  });
});

describe("a token on standard input", () => {
  it("with a wrong checksum is malformed, and nothing is asked of the database", async () => {
    const { text } = createToken("test", randomBytes);
    const wrong = `${text.slice(0, -1)}${text.endsWith("A") ? "B" : "A"}`;

    expect(await desk.run("verify --json", { stdin: wrong })).toMatchObject({
      code: 4,
      stdout: '{"schemaVersion":1,"ok":false,"code":"malformed"}\n',
    });
    expect(await desk.refuse("credential activate", { stdin: wrong })).toMatchObject({
      exit: 4,
      code: "denied",
      details: { code: "malformed" },
    });
    expect(await desk.refuse("revoke --token-stdin --yes", { stdin: wrong })).toMatchObject({ exit: 3 });
  });

  it("that this database never had is unknown", async () => {
    const { text } = createToken("test", randomBytes);

    expect(await desk.run("verify --json", { stdin: text })).toMatchObject({
      code: 4,
      stdout: '{"schemaVersion":1,"ok":false,"code":"unknown"}\n',
    });
  });

  it.each([
    ["nothing", ""],
    ["an empty line", "\n"],
    ["more than any token", "x".repeat(5000)],
  ])("that is %s is a usage error", async (_, stdin) => {
    for (const words of ["verify", "credential activate", "revoke --token-stdin --yes"]) {
      expect(await desk.refuse(words, { stdin })).toMatchObject({ exit: 2, code: "usage" });
    }
  });

  it("may end in a line feed or not, and with a carriage return", async () => {
    const { token } = await desk.issue("codex-1", "--name", "endings");
    for (const end of ["", "\n", "\r\n"]) {
      expect(await desk.ask("verify", { stdin: token + end })).toMatchObject({ ok: true });
    }
  });
});

describe("a command that is misspelt", () => {
  it.each([
    ["identity pause codex-1", "pause"],
    ["identity list", "list identities"],
    ["credential revoke x", "revoke"],
    ["rotate codex-1", "credential rotate"],
    ["delete codex-1", "revoke"],
    ["lsit", "list"],
    ["audti", "audit"],
  ])("`%s` is answered with `midctl %s`", async (words, meant) => {
    expect(await desk.refuse(words)).toMatchObject({ exit: 2, hint: `did you mean \`midctl ${meant}\`?` });
  });

  it("by an option is answered with the option", async () => {
    expect(await desk.refuse("identity create x --ownr y")).toMatchObject({
      exit: 2,
      hint: "did you mean --owner?",
    });
  });

  it("by a missing argument names it", async () => {
    expect((await desk.refuse("identity create x")).message).toContain("--owner is missing");
    expect((await desk.refuse("identity create --owner x")).message).toContain("SLUG is missing");
    expect((await desk.refuse("credential issue")).message).toContain("REF is missing");
    expect((await desk.refuse("credential prepare --environment test")).message).toContain(
      "--token-file is missing",
    );
    expect((await desk.refuse("revoke --yes")).message).toContain("REF is missing");
    expect((await desk.refuse("pause")).message).toContain("REF is missing");
  });

  it("by a flag in the place of a value is not taken for the value", async () => {
    expect((await desk.refuse("identity create x --owner --quiet")).message).toContain(
      "--owner needs a value",
    );
  });
});
