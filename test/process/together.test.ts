import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { CliResult } from "../support/cli.ts";
import { type Answer, type Desk, holdIdentity, openDesk } from "./desk.ts";

/** Operators at once, each a process of its own: all wait at the same lock before the first may go on. */
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

async function atOnce(...commands: readonly (readonly string[])[]): Promise<CliResult[]> {
  const held = await holdIdentity(desk, slug);
  const running = commands.map((words) => desk.run([...words, "--json"]));
  await held.waiting(commands.length);
  await held.release();
  return Promise.all(running);
}

const FOUR = [0, 1, 2, 3];
const exits = (results: readonly CliResult[]): (number | null)[] => results.map(({ code }) => code).sort();
const documents = (results: readonly CliResult[]): Answer[] =>
  results.filter(({ code }) => code === 0).map(({ stdout }) => JSON.parse(stdout));
const refusals = (results: readonly CliResult[]): Answer[] =>
  results.filter(({ code }) => code !== 0).map(({ stderr }) => JSON.parse(stderr).error);
const shown = async (): Promise<Answer> => desk.ask(["identity", "show", slug]);

describe("four operators at once", () => {
  it.each([
    ["pause", "paused"],
    ["revoke", "revoked"],
  ])("that %s one identity: one changes it, and the others find it so", async (verb, status) => {
    const results = await atOnce(...FOUR.map(() => [verb, slug, "--yes"]));

    expect(exits(results)).toEqual([0, 0, 0, 0]);
    const changed = documents(results).map((document) => document.results[0].changed);
    expect(changed.sort()).toEqual([false, false, false, true]);
    expect((await shown()).identity).toMatchObject({ status, version: 2 });
    expect(
      (await desk.ask(["audit", "--identity", slug, "--action", `identity.${verb}`])).events,
    ).toHaveLength(1);
  });

  it("that issue under one name: one does, and the others learn which is pending", async () => {
    const results = await atOnce(...FOUR.map(() => ["credential", "issue", slug]));

    expect(exits(results)).toEqual([0, 5, 5, 5]);
    const [issued] = documents(results);
    for (const { message } of refusals(results)) expect(message).toContain(issued.credential.id);
    expect((await shown()).credentials).toHaveLength(1);
    expect((await desk.run("verify", { stdin: issued.token })).code).toBe(0);
  });

  it("that rotate one credential: one does, and the old one works on", async () => {
    const { token } = await desk.activeCredential(slug);

    const results = await atOnce(...FOUR.map(() => ["credential", "rotate", slug]));

    expect(exits(results)).toEqual([0, 5, 5, 5]);
    expect((await shown()).credentials).toHaveLength(2);
    expect((await desk.run("verify", { stdin: token })).code).toBe(0);
  });

  it("that replace one pending credential: one does, and the others do not replace that one's", async () => {
    await desk.issue(slug);

    const results = await atOnce(...FOUR.map(() => ["credential", "issue", slug, "--replace-pending"]));

    expect(exits(results)).toEqual([0, 5, 5, 5]);
    const [issued] = documents(results);
    expect((await desk.run("verify", { stdin: issued.token })).code).toBe(0);
  });

  it("that activate one token: it is activated once", async () => {
    const { token } = await desk.issue(slug);
    const held = await holdIdentity(desk, slug);
    const running = FOUR.map(() => desk.run("credential activate --json", { stdin: token }));
    await held.waiting(4);
    await held.release();
    const results = await Promise.all(running);

    expect(exits(results)).toEqual([0, 0, 0, 0]);
    expect(
      documents(results)
        .map(({ changed }) => changed)
        .sort(),
    ).toEqual([false, false, false, true]);
  });

  it("that create one identity: one does, and --if-not-exists makes the others content", async () => {
    const create = (owner: string, ...more: string[]) =>
      FOUR.map(() =>
        desk.run(["identity", "create", `${slug}-${owner}`, "--owner", owner, "--json", ...more]),
      );

    const strict = await Promise.all(create("strict"));
    const content = await Promise.all(create("content", "--if-not-exists"));

    expect(exits(strict)).toEqual([0, 5, 5, 5]);
    expect(exits(content)).toEqual([0, 0, 0, 0]);
    expect(
      documents(content)
        .map(({ created }) => created)
        .sort(),
    ).toEqual([false, false, false, true]);
  });

  it("that provision one thread in one call: one identity, one credential, no half-made thing", async () => {
    const words = "credential issue --provider codex --create --owner x --json --thread".split(" ");
    const results = await Promise.all(FOUR.map(() => desk.run([...words, slug])));

    expect(exits(results)).toEqual([0, 5, 5, 5]);
    expect((await desk.ask(["identity", "show", `codex-${slug}`])).credentials).toHaveLength(1);
  });
});

describe("two operators at once", () => {
  it("that pause and revoke one identity: it is revoked, and a pause that came too late says why", async () => {
    const results = await atOnce(["pause", slug], ["revoke", slug, "--yes"]);
    const [pause, revoke] = results;

    expect((await shown()).identity.status).toMatch(/paused|revoked/);
    if (pause?.code === 0) {
      // The revocation was decided on when it was active: the pause between is a conflict that names it.
      expect(refusals([revoke as CliResult])[0]).toMatchObject({
        code: "conflict",
        details: { was: "active", is: "paused" },
      });
    } else expect(refusals(results)).toMatchObject([{ code: "illegal_transition" }]);
    expect(exits(results)).toEqual([0, 5]);
  });

  it("that resume and revoke one credential: the later one is told what changed", async () => {
    const { id } = await desk.activeCredential(slug);
    await desk.ask(["pause", id]);

    const results = await atOnce(["resume", id], ["revoke", id, "--yes"]);

    expect(exits(results)).toEqual([0, 5]);
    expect(["conflict", "illegal_transition"]).toContain(refusals(results)[0].code);
  });

  it("that rotate as compromised: one secret is left that works, and it was handed out", async () => {
    await desk.activeCredential(slug);
    const rotate = ["credential", "rotate", slug, "--compromised", "--yes"];

    const results = await atOnce(rotate, rotate);

    const verified = await Promise.all(
      documents(results).map(async ({ token }) => (await desk.run("verify", { stdin: token })).code),
    );
    expect(verified.filter((code) => code === 0)).toHaveLength(1);
    const live = (await shown()).credentials.filter(({ status }: Answer) => status === "pending");
    expect(live).toHaveLength(1);
  });
});
