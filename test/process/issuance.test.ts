import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Desk, openDesk } from "./desk.ts";

/** SPEC §3 and §4 by the program itself: what issue and rotate do, by what is there already. */
let desk: Desk;
let slug: string;
let count = 0;

beforeAll(async () => {
  desk = await openDesk();
});
afterAll(() => desk.dispose());
beforeEach(async () => {
  slug = `bot-${++count}`;
  await desk.identity(slug);
});

const goodness = async (token: string): Promise<string> => {
  const { stdout } = await desk.run("verify --json", { stdin: token });
  const answer = JSON.parse(stdout);
  return answer.ok ? answer.credential.effectiveStatus : answer.code;
};
const tokenIn = (file: string): string => readFileSync(join(desk.directory, file), "utf8").trim();

describe("issue", () => {
  it("where nothing is current makes a pending credential, which the first use activates", async () => {
    const issued = await desk.ask(["credential", "issue", slug, "--scope", "cards:*", "--expires", "30d"]);

    expect(issued).toMatchObject({
      created: true,
      credential: { status: "pending", scopes: ["cards:*"], replaces: null, activatedAt: null },
    });
    const days = Date.parse(issued.credential.expiresAt) - Date.parse(issued.credential.issuedAt);
    expect(Math.round(days / 86_400_000)).toBe(30);
    expect(await goodness(issued.token)).toBe("pending");

    expect(await desk.ask("credential activate", { stdin: issued.token })).toMatchObject({ changed: true });
    expect(await desk.ask("credential activate", { stdin: issued.token })).toMatchObject({ changed: false });
    expect(await goodness(issued.token)).toBe("active");
  });

  it("where one is current is a conflict that says to rotate", async () => {
    const { id } = await desk.activeCredential(slug);

    expect(await desk.refuse(["credential", "issue", slug, "--replace-pending"])).toMatchObject({
      exit: 5,
      details: { current: id },
      hint: expect.stringContaining(`midctl credential rotate ${slug}`),
    });
  });

  it("where one is pending is a conflict that names it", async () => {
    const { id } = await desk.issue(slug);

    expect(await desk.refuse(["credential", "issue", slug])).toMatchObject({
      exit: 5,
      details: { pending: id },
      hint: expect.stringContaining("--replace-pending"),
    });
  });

  it("with --replace-pending abandons the pending one, whose secret is then nothing", async () => {
    const lost = await desk.issue(slug);

    const { token, credential } = await desk.ask(["credential", "issue", slug, "--replace-pending"]);

    expect(await goodness(lost.token)).toBe("abandoned");
    expect(await goodness(token)).toBe("pending");
    expect(credential.replaces).toBeNull();
  });

  it("under another name stands beside", async () => {
    await desk.activeCredential(slug);
    expect(await desk.ask(["credential", "issue", slug, "--name", "ci"])).toMatchObject({ created: true });
  });

  it("whose deadline has passed is abandoned, and makes way without a flag", async () => {
    const { token, id } = await desk.issue(slug, "--activate-within", "1s");
    await desk.tamper("machine_identity_credential", `"activationDeadline" = midctl_now()`, id);

    expect(await goodness(token)).toBe("abandoned");
    expect(await desk.refuse("credential activate", { stdin: token })).toMatchObject({
      exit: 4,
      details: { code: "abandoned" },
    });
    expect(await desk.ask(["credential", "issue", slug])).toMatchObject({ created: true });
  });

  it("under a revoked or expired identity, or ancestor, is refused; under a paused one it works", async () => {
    const child = await desk.identity(`${slug}-child`, "--parent", slug);
    await desk.ask(["pause", slug]);
    const { token } = await desk.issue(child);
    expect(await goodness(token)).toBe("identity_paused");
    expect((await desk.run("credential activate", { stdin: token })).code).toBe(4);
    await desk.ask(["resume", slug]);
    expect(await desk.ask("credential activate", { stdin: token })).toMatchObject({ changed: true });

    await desk.ask(["revoke", slug, "--yes"]);
    expect(await goodness(token)).toBe("identity_revoked");
    expect(await desk.refuse(["credential", "issue", child, "--name", "x"])).toMatchObject({ exit: 5 });
    expect(await desk.refuse(["credential", "rotate", child])).toMatchObject({ exit: 5 });
  });

  it("with --create gets or creates, and refuses one that differs", async () => {
    const words = `credential issue --thread ${slug} --provider codex --create --owner platform`;
    expect(await desk.ask(words)).toMatchObject({
      created: true,
      identity: {
        slug: `codex-${slug}`,
        kind: "thread",
        provider: "codex",
        threadId: slug,
        owner: "platform",
      },
    });
    expect(await desk.ask(`${words} --replace-pending`)).toMatchObject({ created: true });
    expect(await desk.refuse(`${words} --display-name Other --replace-pending`)).toMatchObject({
      exit: 5,
      details: { differences: ["displayName"] },
    });
  });

  it("of a credential that does not end is never, where the environment is not protected", async () => {
    expect(await desk.ask(["credential", "issue", slug, "--expires", "never"])).toMatchObject({
      credential: { expiresAt: null },
    });
  });
});

describe("rotate", () => {
  it("where nothing is current is a conflict that says to issue", async () => {
    expect(await desk.refuse(["credential", "rotate", slug])).toMatchObject({
      exit: 5,
      hint: expect.stringContaining(`midctl credential issue ${slug}`),
    });
  });

  it("makes a pending successor with the same scopes; the old one works until that is used, then for its grace", async () => {
    const old = await desk.activeCredential(slug, "--scope", "cards:*");

    const next = await desk.ask(["credential", "rotate", slug, "--grace", "1h"]);
    expect(next.credential).toMatchObject({ status: "pending", replaces: old.id, scopes: ["cards:*"] });
    expect([await goodness(old.token), await goodness(next.token)]).toEqual(["active", "pending"]);

    await desk.ask("credential activate", { stdin: next.token });
    expect([await goodness(old.token), await goodness(next.token)]).toEqual(["grace", "active"]);
    const { credential } = await desk.ask(["credential", "show", old.id]);
    const grace = Date.parse(credential.graceUntil) - Date.now();
    expect(grace).toBeGreaterThan(50 * 60_000);
    expect(grace).toBeLessThanOrEqual(60 * 60_000);
  });

  it("without grace ends the old one with the first use of the new", async () => {
    const old = await desk.activeCredential(slug);
    const { token } = await desk.ask(["credential", "rotate", slug, "--grace", "0s"]);
    await desk.ask("credential activate", { stdin: token });

    expect(await goodness(old.token)).toBe("superseded");
  });

  it("of a paused credential gives it no grace", async () => {
    const old = await desk.activeCredential(slug);
    const { token } = await desk.ask(["credential", "rotate", slug]);
    await desk.ask(["pause", old.id]);
    await desk.ask("credential activate", { stdin: token });

    expect(await goodness(old.token)).toBe("superseded");
  });

  it("where a successor is pending is a conflict that names it, unless it is replaced", async () => {
    const old = await desk.activeCredential(slug);
    const lost = await desk.ask(["credential", "rotate", slug]);

    expect(await desk.refuse(["credential", "rotate", slug])).toMatchObject({
      exit: 5,
      details: { pending: lost.credential.id },
    });
    expect(await desk.ask(["credential", "rotate", slug, "--replace-pending"])).toMatchObject({
      created: true,
      credential: { replaces: old.id },
    });
    expect(await goodness(lost.token)).toBe("abandoned");
    expect(await goodness(old.token)).toBe("active");
  });

  it("expecting another current credential is a conflict that names the one that is", async () => {
    const { id } = await desk.activeCredential(slug);

    expect(
      await desk.refuse(["credential", "rotate", slug, "--expect-current", "mc_000000000000"]),
    ).toMatchObject({
      exit: 5,
      details: { current: id },
    });
    expect(await desk.ask(["credential", "rotate", slug, "--expect-current", id])).toMatchObject({
      created: true,
    });
  });

  it("as compromised ends current, grace and pending at once, and takes no grace", async () => {
    const first = await desk.activeCredential(slug);
    const second = await desk.ask(["credential", "rotate", slug]);
    await desk.ask("credential activate", { stdin: second.token });
    const third = await desk.ask(["credential", "rotate", slug]);

    expect(await desk.refuse(["credential", "rotate", slug, "--compromised", "--grace", "1h"])).toMatchObject(
      {
        exit: 2,
      },
    );
    const words = ["credential", "rotate", slug, "--compromised", "--yes"];
    const { token, revoked } = await desk.ask(words);

    expect(revoked.toSorted()).toEqual([first.id, second.credential.id, third.credential.id].toSorted());
    for (const ended of [first.token, second.token, third.token])
      expect(await goodness(ended)).toBe("revoked");
    expect(await goodness(token)).toBe("pending");
  });
});

describe("a call repeated with its token file", () => {
  it("that issued is exit 0 and created:false, pending or active", async () => {
    const words = ["credential", "issue", slug, "--scope", "cards:*", "--token-file", `./${slug}`];
    const { credential } = await desk.ask(words);
    const before = tokenIn(slug);

    expect(await desk.ask(words)).toMatchObject({ created: false, credential: { id: credential.id } });
    await desk.ask("credential activate", { stdin: before });
    expect(await desk.ask(words)).toMatchObject({ created: false, credential: { status: "active" } });
    expect(tokenIn(slug)).toBe(before);
  });

  it("with other scopes, another name or for another identity is a conflict", async () => {
    const file = ["--token-file", `./${slug}`];
    await desk.ask(["credential", "issue", slug, "--scope", "cards:*", ...file]);
    const other = await desk.identity(`${slug}-other`);

    for (const words of [
      ["credential", "issue", slug, "--scope", "cards:read", ...file],
      ["credential", "issue", slug, "--scope", "cards:*", "--name", "ci", ...file],
      ["credential", "issue", other, "--scope", "cards:*", ...file],
    ]) {
      expect(await desk.refuse(words)).toMatchObject({ exit: 5, code: "conflict" });
    }
  });

  it("that was paused is still its own; revoked it is a conflict", async () => {
    const words = ["credential", "issue", slug, "--token-file", `./${slug}`];
    const { credential } = await desk.ask(words);
    await desk.ask("credential activate", { stdin: tokenIn(slug) });
    await desk.ask(["pause", credential.id]);
    expect(await desk.ask(words)).toMatchObject({ created: false });

    await desk.ask(["revoke", credential.id, "--yes"]);
    expect(await desk.refuse(words)).toMatchObject({ exit: 5, details: { effectiveStatus: "revoked" } });
  });

  it("that prepared is issued with the file's token", async () => {
    const { commitment } = await desk.ask([
      "credential",
      "prepare",
      "--environment",
      "test",
      "--token-file",
      `./${slug}`,
    ]);
    const { credential } = await desk.ask(["credential", "issue", slug, "--token-file", `./${slug}`]);

    expect(commitment).toContain(credential.id.slice(3));
    expect(await goodness(tokenIn(slug))).toBe("pending");
  });

  it("that rotated is created:false while pending; into the current one's file it is a conflict", async () => {
    const old = ["--token-file", `./${slug}-old`];
    await desk.ask(["credential", "issue", slug, ...old]);
    await desk.ask("credential activate", { stdin: tokenIn(`${slug}-old`) });
    expect(await desk.refuse(["credential", "rotate", slug, ...old])).toMatchObject({
      exit: 5,
      hint: expect.stringContaining("new --token-file"),
    });

    const next = ["--token-file", `./${slug}-next`];
    const { credential } = await desk.ask(["credential", "rotate", slug, ...next]);
    expect(await desk.ask(["credential", "rotate", slug, ...next])).toMatchObject({
      created: false,
      credential: { id: credential.id },
    });
  });

  it("that rotated and was proven since needs --expect-current with the one it replaced", async () => {
    const { id } = await desk.activeCredential(slug);
    const words = ["credential", "rotate", slug, "--token-file", `./${slug}`];
    await desk.ask([...words, "--expect-current", id]);
    await desk.ask("credential activate", { stdin: tokenIn(slug) });

    expect(await desk.refuse(words)).toMatchObject({
      exit: 5,
      hint: expect.stringContaining("--expect-current"),
    });
    expect(await desk.ask([...words, "--expect-current", id])).toMatchObject({ created: false });
  });
});

describe("a commitment", () => {
  const prepare = (file: string, ...more: string[]) =>
    desk.run(["credential", "prepare", "--environment", "test", "--token-file", file, ...more]);

  it("is one word, made without a database, and repeated for the same file", async () => {
    const first = await desk.run(
      ["credential", "prepare", "--environment", "test", "--token-file", `./${slug}`],
      {
        env: { MIDCTL_DATABASE_URL: "postgres://u@127.0.0.1:1/x" },
      },
    );
    const again = await prepare(`./${slug}`);

    expect(first).toMatchObject({ code: 0, stdout: expect.stringMatching(/^mcc_test_\w+\n$/) });
    expect(again.stdout).toBe(first.stdout);
    expect(first.stdout + first.stderr).not.toContain(tokenIn(slug).slice(-20));
  });

  it("is issued against and rotated against, without a secret passing by; a repetition is created:false", async () => {
    const commitment = (await prepare(`./${slug}-1`)).stdout.trim();
    const words = ["credential", "issue", slug, "--commitment", commitment];
    expect(await desk.ask(words)).toMatchObject({ token: null, tokenFile: null, created: true });
    expect(await desk.ask(words)).toMatchObject({ created: false });
    await desk.ask("credential activate", { stdin: tokenIn(`${slug}-1`) });

    const next = (await prepare(`./${slug}-2`)).stdout.trim();
    expect(await desk.ask(["credential", "rotate", slug, "--commitment", next])).toMatchObject({
      created: true,
    });
    expect(await desk.ask("credential activate", { stdin: tokenIn(`${slug}-2`) })).toMatchObject({
      changed: true,
    });
    expect(await goodness(tokenIn(`${slug}-1`))).toBe("grace");
  });

  it("is not said to have been shown, and a secret on stdout is", async () => {
    const commitment = (await prepare(`./${slug}`)).stdout.trim();

    const committed = await desk.run(["credential", "issue", slug, "--commitment", commitment]);
    const shown = await desk.run(["credential", "issue", slug, "--name", "shown"]);

    expect(committed).toMatchObject({ code: 0, stderr: expect.not.stringContaining("shown") });
    expect(shown.stderr).toContain("The secret is shown this once and kept nowhere.");
  });

  it("of the other kind, garbled, or beside --token-file is refused", async () => {
    const live = (
      await desk.run(["credential", "prepare", "--environment", "live", "--token-file", `./${slug}`])
    ).stdout.trim();

    expect(await desk.refuse(["credential", "issue", slug, "--commitment", live])).toMatchObject({ exit: 5 });
    expect(await desk.refuse(["credential", "issue", slug, "--commitment", live.slice(0, -1)])).toMatchObject(
      {
        exit: 2,
      },
    );
    expect(
      await desk.refuse(["credential", "issue", slug, "--commitment", live, "--token-file", "./both"]),
    ).toMatchObject({ exit: 2 });
  });
});
