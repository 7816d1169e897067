import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Tx } from "../../src/db/database.ts";
import {
  type HostControl,
  type HostIssuance,
  type HostRotation,
  issueCredential,
  MidctlError,
  pause,
  resume,
  revoke,
  rotateCredential,
} from "../../src/index.ts";
import { databases, type TestDatabase } from "../support/databases.ts";

/** A transaction that must not be asked for anything. */
const UNASKED: Tx = {
  query: () => {
    throw new Error("a statement was sent");
  },
};

const ISSUANCE = { identity: { slug: "deploy-bot", owner: "platform" }, actor: "alice" };
const ROTATION = { identity: "deploy-bot", actor: "alice" };

/** `call` with what TypeScript would not let pass. */
const issue = (change: object) => issueCredential(UNASKED, { ...ISSUANCE, ...change } as HostIssuance);
const issueTo = (change: object) => issue({ identity: { ...ISSUANCE.identity, ...change } });
const rotate = (change: object) => rotateCredential(UNASKED, { ...ROTATION, ...change } as HostRotation);

/** What is told: `field: problem`. */
async function toldBy(call: Promise<unknown>): Promise<string> {
  const error = await call.catch((refused: unknown) => refused);
  expect(error).toBeInstanceOf(MidctlError);
  expect(error).toMatchObject({ code: "usage" });
  return (error as MidctlError).message;
}

describe("a scope is judged as the command line judges it:", () => {
  test.each([["a b"], [""], ["a\nb"], ["é\u202e"], ["x".repeat(5_000)], [5]])("%j", async (scope) => {
    expect(await toldBy(issue({ scopes: ["good", scope] }))).toMatch(
      /^scopes\[1\]: .+ No credential was issued\.$/,
    );
  });

  test.each([
    ["100 of them", Array.from({ length: 100 }, (_, n) => `s${n}`)],
    ["one by itself", "cards:*"],
  ])("%s", async (_, scopes) => {
    expect(await toldBy(issue({ scopes }))).toMatch(/^scopes: /);
  });
});

describe("a duration is whole seconds, within the limits of the command line:", () => {
  const WRONG = [0, -1, 1.5, 1e12, Number.NaN, Number.POSITIVE_INFINITY, "90d", "1h", true];

  test.each(WRONG)("activateWithin %j", async (seconds) => {
    expect(await toldBy(issue({ activateWithin: seconds }))).toMatch(/^activateWithin: /);
  });

  test.each([...WRONG, null])("expiresIn %j", async (seconds) => {
    expect(await toldBy(issue({ expiresIn: seconds }))).toMatch(/^expiresIn: /);
  });

  test.each([[-1], [86_401], ["1h"]])("grace %j", async (seconds) => {
    expect(await toldBy(rotate({ grace: seconds }))).toMatch(/^grace: /);
  });

  test.each(WRONG)("an identity's expiresIn and idleTtl %j", async (seconds) => {
    expect(await toldBy(issueTo({ expiresIn: seconds }))).toMatch(/^identity\.expiresIn: /);
    expect(await toldBy(issueTo({ idleTtl: seconds }))).toMatch(/^identity\.idleTtl: /);
  });
});

describe("words that people read are judged as the command line judges them:", () => {
  test.each([[""], ["a\r\nb"], ["\u0007"], [" alice"], ["x".repeat(5_000)], ["\ud800"], [undefined], [{}]])(
    "actor, owner, display name, thread id and workspace %j",
    async (text) => {
      expect(await toldBy(issue({ actor: text }))).toMatch(/^actor: /);
      expect(await toldBy(issueTo({ owner: text }))).toMatch(/^identity\.owner: /);
      if (text === undefined) return;
      expect(await toldBy(issueTo({ displayName: text }))).toMatch(/^identity\.displayName: /);
      expect(await toldBy(issueTo({ workspace: text }))).toMatch(/^identity\.workspace: /);
      expect(await toldBy(issueTo({ provider: "codex", threadId: text }))).toMatch(/^identity\.threadId: /);
    },
  );

  test.each([[{ team: "a\u0000" }], [{ "Not a key": "a" }], [{ team: 5 }], [["team"]], ["team=a"]])(
    "labels %j",
    async (labels) => {
      expect(await toldBy(issueTo({ labels }))).toMatch(/^identity\.labels(\.\w+)?: /);
    },
  );

  test.each([
    ["name", () => issue({ name: "Not a name" })],
    ["reason", () => issue({ reason: "\u0000" })],
    ["identity", () => issue({ identity: "Not a slug" })],
    ["identity", () => issue({ identity: 5 })],
    ["identity", () => rotate({ identity: ISSUANCE.identity })],
    ["identity.slug", () => issueTo({ slug: "Not a slug" })],
    ["identity.parent", () => issueTo({ parent: "mc_000000000000" })],
    ["identity.kind", () => issueTo({ kind: "robot" })],
    ["identity", () => issueTo({ kind: "thread" })],
    ["identity", () => issueTo({ threadId: "t1" })],
    ["identity", () => issueTo({ kind: "service", provider: "codex", threadId: "t1" })],
  ])("%s", async (field, call) => {
    expect(await toldBy(call())).toMatch(new RegExp(`^${field}: `));
  });
});

test("a misspelt field is refused, with the one that was meant", async () => {
  expect(await toldBy(issue({ scope: ["cards:read"] }))).toBe(
    'There is no field "scope"; did you mean scopes? No credential was issued.',
  );
});

test("a token in any field is not repeated", async () => {
  const token = `mid_test_000000000000_${"a".repeat(43)}000000`;

  const told = await Promise.all([
    toldBy(issue({ actor: token })),
    toldBy(issue({ [token]: 1 })),
    toldBy(issueTo({ labels: { [token]: "x" } })),
    toldBy(issueTo({ labels: { team: token } })),
    toldBy(pause(UNASKED, { ref: token, actor: "alice" })),
  ]);

  expect(told.join()).not.toContain("aaaa");
});

describe.each([
  ["pause", pause, "Nothing was paused"],
  ["resume", resume, "Nothing was resumed"],
  ["revoke", revoke, "Nothing was revoked"],
] as const)("%s", (_, control, undone) => {
  test.each([
    ["without a ref", { actor: "alice" }, "ref"],
    ["with a ref that is none", { ref: 5, actor: "alice" }, "ref"],
    ["without an actor", { ref: "deploy-bot" }, "actor"],
  ])("%s names the field, and says what did not happen", async (__, wish, field) => {
    const told = await toldBy(control(UNASKED, wish as HostControl));

    expect(told).toMatch(new RegExp(`^${field}: .+ ${undone}\\.$`));
  });
});

test.each([[undefined], [null], ["tx"], [{}], [() => undefined]])(
  "%j for a transaction is refused",
  async (tx) => {
    expect(await toldBy(issueCredential(tx as never, ISSUANCE))).toMatch(
      /^The first argument is no transaction/,
    );
  },
);

describe.each(databases())("on $name", (factory) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await factory.create();
  });
  afterAll(() => database.dispose());

  test("an identity is a slug and an owner; the rest has defaults", async () => {
    const { identity, credential } = await database.db.transaction((tx) =>
      issueCredential(tx, { ...ISSUANCE, scopes: ["cards:read", "cards:*", "cards:read"] }),
    );

    expect(identity).toMatchObject({
      slug: "deploy-bot",
      kind: "service",
      displayName: "deploy-bot",
      labels: {},
      parent: null,
      expiresAt: null,
      idleTtl: null,
    });
    expect(credential).toMatchObject({ name: "default", scopes: ["cards:*", "cards:read"] });
  });

  test("one with a thread's id is a thread", async () => {
    const { identity } = await database.db.transaction((tx) =>
      issueCredential(tx, {
        identity: { slug: "codex-t1", owner: "platform", provider: "codex", threadId: "t1" },
        actor: "alice",
      }),
    );

    expect(identity).toMatchObject({ kind: "thread", provider: "codex", threadId: "t1" });
  });

  test("what is refused leaves the host's transaction as it was, and the host may go on", async () => {
    const slugs = await database.db.transaction(async (tx) => {
      await pause(tx, { actor: "alice" } as HostControl).catch(() => undefined);
      return tx.query("SELECT slug FROM machine_identity WHERE slug = 'deploy-bot'");
    });

    expect(slugs).toEqual([{ slug: "deploy-bot" }]);
  });
});
