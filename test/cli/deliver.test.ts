import { describe, expect, test, vi } from "vitest";
import * as z from "zod/mini";
import { deliver } from "../../src/cli/deliver.ts";
import { defineVerb } from "../../src/cli/verb.ts";
import { makeContext } from "./support/world.ts";

const secret = "mid_test_aaaaaaaaaaaa_secret";
const document = { token: null, created: true, credential: { id: "mc_aaaaaaaaaaaa" } };

const issue = defineVerb({
  path: ["issue"],
  summary: "Issue",
  examples: [],
  output: z.object({
    token: z.nullable(z.string()),
    created: z.boolean(),
    credential: z.object({ id: z.string() }),
  }),
  async run() {
    return { document };
  },
  view: ({ credential }) => [{ kind: "line", cells: [`issued ${credential.id}`] }],
});

const listing = defineVerb({
  path: ["list"],
  summary: "List",
  examples: [],
  output: z.object({ items: z.array(z.object({ n: z.number() })), nextCursor: z.nullable(z.string()) }),
  list: ["items"],
  async run() {
    return { document: { items: [], nextCursor: null } };
  },
  view: ({ items }) => [{ kind: "table", columns: [{ title: "N" }], rows: items.map(({ n }) => [n]) }],
});

async function* pages(fail = false) {
  yield { items: [{ n: 1 }, { n: 2 }], nextCursor: "x" };
  if (fail) throw new Error("the second page failed");
  yield { items: [{ n: 3 }], nextCursor: null };
}

describe("a secret", () => {
  test("stands alone on stdout, its summary on stderr", async () => {
    const { context, written } = makeContext();

    await deliver(issue, { document, secret }, context);

    expect(written).toEqual({
      stdout: `${secret}\n`,
      stderr: "issued mc_aaaaaaaaaaaa\nThe secret is shown this once and kept nowhere.\n",
    });
  });

  test("is in `token` of the JSON document, and nothing is on stderr", async () => {
    const { context, written } = makeContext({ json: true });

    await deliver(issue, { document, secret }, context);

    expect(JSON.parse(written.stdout)).toEqual({ schemaVersion: 1, ...document, token: secret });
    expect(written.stderr).toBe("");
  });

  test("is shown whole whatever --fields asks for", async () => {
    const { context, written } = makeContext({ json: true, fields: ["created"] });

    await deliver(issue, { document, secret }, context);

    expect(JSON.parse(written.stdout).token).toBe(secret);
  });

  test("with --quiet has no summary", async () => {
    const { context, written } = makeContext({ quiet: true });

    await deliver(issue, { document, secret }, context);

    expect(written).toEqual({ stdout: `${secret}\n`, stderr: "" });
  });

  test.each(["EPIPE", "ENOSPC", "EIO", "ENULL"])(
    "that meets %s is undeliverable, and taken back",
    async (errno) => {
      const { context } = makeContext({}, { stdoutFails: errno });
      const undelivered = vi.fn(async () => "mc_aaaaaaaaaaaa was revoked");

      const delivery = deliver(issue, { document, secret, undelivered }, context);

      await expect(delivery).rejects.toMatchObject({
        code: "undeliverable",
        message: expect.stringContaining("mc_aaaaaaaaaaaa was revoked"),
      });
      expect(undelivered).toHaveBeenCalledOnce();
    },
  );

  test("that can be neither written nor taken back is said to be inert after its deadline", async () => {
    const { context } = makeContext({}, { stdoutFails: "ENOSPC" });
    const undelivered = () => Promise.reject(new Error("no connection"));

    await expect(deliver(issue, { document, secret, undelivered }, context)).rejects.toMatchObject({
      code: "undeliverable",
      message: expect.stringContaining("inert unless it is used before its deadline"),
    });
  });
});

describe("a result", () => {
  test.each([4, 8, 9] as const)("may end in exit %i with its document on stdout", async (exit) => {
    const { context, written } = makeContext({ json: true });

    expect(await deliver(issue, { document, exit }, context)).toBe(exit);
    expect(written.stdout).not.toBe("");
  });

  test("whose reader has left is no failure", async () => {
    const { context } = makeContext({}, { stdoutFails: "EPIPE" });

    expect(await deliver(issue, { document }, context)).toBe(0);
  });

  test("that does not fit on the disk is one", async () => {
    const { context } = makeContext({}, { stdoutFails: "ENOSPC" });

    await expect(deliver(issue, { document }, context)).rejects.toMatchObject({ errno: "ENOSPC" });
  });
});

describe("pages", () => {
  test("are one JSON document", async () => {
    const { context, written } = makeContext({ json: true });

    await deliver(listing, { pages: pages() }, context);

    expect(JSON.parse(written.stdout)).toEqual({
      schemaVersion: 1,
      items: [{ n: 1 }, { n: 2 }, { n: 3 }],
      nextCursor: null,
    });
  });

  test("that are none are an empty list", async () => {
    const { context, written } = makeContext({ json: true });

    await deliver(listing, { pages: (async function* () {})() }, context);

    expect(JSON.parse(written.stdout)).toEqual({ schemaVersion: 1, items: [], nextCursor: null });
  });

  test("of which one fails leave stdout empty as JSON", async () => {
    const { context, written } = makeContext({ json: true });

    await expect(deliver(listing, { pages: pages(true) }, context)).rejects.toThrow("the second page failed");

    expect(written.stdout).toBe("");
  });

  test("stream as lines", async () => {
    const { context, written } = makeContext({ output: "ndjson" });

    await expect(deliver(listing, { pages: pages(true) }, context)).rejects.toThrow();

    expect(written.stdout).toBe('{"n":1}\n{"n":2}\n');
  });
});
