import { describe, expect, test } from "vitest";
import { canonicalText } from "../../src/domain/canonical.ts";
import { readPlan } from "../../src/operations/approval/plan.ts";

const IDENTITY = { slug: "deploy-bot", publicId: "identity0001", version: 1 };
const CREDENTIAL = { id: "mc_credential01", version: 1 };
const TOKEN = { secret: "0".repeat(64), scopes: ["cards:*"], notAfter: "2030-02-28T00:00:00.000Z" };
const PAUSE = { do: "pause", identity: IDENTITY, credential: null, token: null, from: "active" };
const ROTATE = {
  ...{ do: "credential.rotate", identity: IDENTITY, credential: CREDENTIAL, token: TOKEN, name: "default" },
  ...{ activateWithin: 60, replaces: CREDENTIAL, replacesPending: null, grace: 60, revokes: [] },
};

/** A plan of one line, as it would be kept. */
function write(line: Readonly<Record<string, unknown>>): string {
  return canonicalText({
    ...{
      v: 1,
      id: "ap_0000plan0000",
      action: line.do,
      requester: "alice",
      reason: null,
      nonce: "0".repeat(32),
    },
    environment: { name: "production", live: true, databaseId: "00000000-0000-4000-8000-000000000000" },
    ...{ requestedAt: "2026-01-01T00:00:00.000Z", approveBy: "2026-01-01T01:00:00.000Z" },
    ...{
      executeBy: "2026-01-01T02:00:00.000Z",
      log: { size: 0, leafHash: null },
      breakGlass: null,
      lines: [line],
    },
  });
}

describe("a plan is read", () => {
  test.each([
    ["that pauses an identity", PAUSE],
    ["that pauses a credential", { ...PAUSE, identity: null, credential: CREDENTIAL }],
    ["that rotates", ROTATE],
  ])("%s", (_, line) => {
    expect(readPlan(write(line)).lines).toEqual([line]);
  });
});

describe("a plan is refused", () => {
  test.each([
    [
      "that pauses an identity and names a credential, which may be another's",
      { ...PAUSE, credential: CREDENTIAL },
    ],
    ["that pauses nothing", { ...PAUSE, identity: null }],
    ["that pauses and names a token", { ...PAUSE, token: TOKEN }],
    [
      "that ends on a day that there is not",
      { ...ROTATE, token: { ...TOKEN, notAfter: "2030-02-31T00:00:00.000Z" } },
    ],
    [
      "that ends at an hour that there is not",
      { ...ROTATE, token: { ...TOKEN, notAfter: "2030-02-28T24:00:00.000Z" } },
    ],
    ["with a longer grace than a day", { ...ROTATE, grace: 86_401 }],
    ["that revokes what is no credential", { ...ROTATE, revokes: ["everything"] }],
  ])("%s", (_, line) => {
    expect(() => readPlan(write(line))).toThrow("This is no plan of this midctl");
  });
});
