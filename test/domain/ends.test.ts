import { describe, expect, test } from "vitest";
import {
  credentialEnd,
  effectiveTokenStatus,
  type IdentityFacts,
  idleEnd,
  noteInterval,
} from "../../src/domain/status.ts";

const at = (seconds: number) => new Date(seconds * 1000);

function identity(facts: Partial<IdentityFacts> = {}): IdentityFacts {
  return {
    status: "active",
    expiresAt: null,
    idleTtl: null,
    createdAt: at(0),
    lastUsedAt: null,
    resumedAt: null,
    ...facts,
  };
}

const credential = { status: "active", expiresAt: null, activationDeadline: null, graceUntil: null } as const;

describe("idleness begins", () => {
  test("never without an idleTtl", () => {
    expect(idleEnd(identity())).toBe(Number.POSITIVE_INFINITY);
  });

  test.each([
    ["creation", {}, 100],
    ["the last use", { lastUsedAt: at(50) }, 150],
    ["the last resume", { lastUsedAt: at(50), resumedAt: at(70) }, 170],
  ])("an idleTtl after %s", (_what, facts, end) => {
    expect(idleEnd(identity({ idleTtl: 100, ...facts }))).toBe(end * 1000);
  });
});

describe("a credential ends", () => {
  test("never, where nothing says so", () => {
    expect(credentialEnd(credential, [identity()])).toBe(Number.POSITIVE_INFINITY);
  });

  test.each([
    [
      "its expiry",
      { ...credential, expiresAt: at(10), graceUntil: at(20) },
      [identity({ expiresAt: at(30) })],
    ],
    ["its grace", { ...credential, expiresAt: at(20), graceUntil: at(10) }, [identity()]],
    ["its identity", { ...credential, expiresAt: at(20) }, [identity({ expiresAt: at(10) })]],
    ["an ancestor", { ...credential, expiresAt: at(20) }, [identity(), identity({ expiresAt: at(10) })]],
  ])("with %s, where that is the soonest", (_what, facts, chain) => {
    expect(credentialEnd(facts, chain)).toBe(10_000);
  });
});

describe("uses are noted", () => {
  test.each([
    ["once a minute", null, 60_000],
    ["once a minute for a long idleTtl", 86_400, 60_000],
    ["four times within a short one", 60, 15_000],
  ])("%s", (_what, idleTtl, ms) => {
    expect(noteInterval(idleTtl)).toBe(ms);
  });
});

describe("a token without machine identity is", () => {
  test.each([
    ["active", { revoked: false, expiresAt: null }],
    ["active", { revoked: false, expiresAt: at(11) }],
    ["expired", { revoked: false, expiresAt: at(10) }],
    ["revoked", { revoked: true, expiresAt: at(5) }],
  ] as const)("%s", (status, token) => {
    expect(effectiveTokenStatus(token, at(10))).toBe(status);
  });
});
