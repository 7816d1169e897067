import { describe, expect, it } from "vitest";
import type { Action, Authentication, CredentialFact, History } from "./history.ts";
import { MILLISECOND, SECOND } from "./history.ts";
import { judgeCalm, judgeHistory } from "./judge.ts";

const ms = (time: number) => time * MILLISECOND;

const BOT: CredentialFact = { id: "bot", identity: "bot", knownFrom: 0, notAfter: null, replaces: null };

function act(kind: Action["kind"], begin: number, end: number, more: Partial<Action> = {}): Action {
  return {
    kind,
    by: "library",
    targets: ["identity bot"],
    ref: "bot",
    begin: ms(begin),
    end: ms(end),
    outcome: "done",
    letGo: null,
    ...more,
  };
}

function use(start: number, end: number, more: Partial<Authentication> = {}): Authentication {
  return {
    verifier: 0,
    credential: 0,
    forged: false,
    start: ms(start),
    end: ms(end),
    outcome: "accepted",
    ...more,
  };
}

function judge(actions: Action[], authentications: Authentication[], more: Partial<History> = {}): string[] {
  const identities = new Map([["bot", null]]);
  const history = { identities, credentials: [BOT], actions, authentications, ...more };
  return [...judgeHistory(history)].map(({ kind }) => kind);
}

/** A campaign that finds nothing proves something only if its judge finds what is there. */
describe("the judge of the revoke campaign", () => {
  describe("of a pause", () => {
    it("finds a use that started after it ended and was accepted", () => {
      expect(judge([act("pause", 10, 20)], [use(20.001, 21)])).toEqual(["after pause"]);
    });

    it("lets a use be that started before it ended, whenever it was answered", () => {
      expect(judge([act("pause", 10, 20)], [use(20, 90), use(5, 90), use(15, 16)])).toEqual([]);
    });

    it("lets a use be that was refused or not answered", () => {
      const uses = [use(21, 22, { outcome: "identity_paused" }), use(21, 22, { outcome: "unavailable" })];

      expect(judge([act("pause", 10, 20)], uses)).toEqual([]);
    });

    it("lets a use be that was still under way when a resume began, and finds one that was over", () => {
      const actions = [act("resume", 30, 40), act("pause", 10, 20)];

      expect(judge(actions, [use(29, 31), use(31, 32), use(41, 42)])).toEqual([]);
      expect(judge(actions, [use(21, 29)])).toEqual(["after pause"]);
    });

    it("finds a use after the second pause, though a resume came between", () => {
      const actions = [act("pause", 10, 20), act("resume", 30, 40), act("pause", 50, 60)];

      expect(judge(actions, [use(55, 56), use(61, 62)])).toEqual(["after pause"]);
    });

    it("binds one that changed nothing as well: it exited 0 like the other", () => {
      const actions = [act("pause", 10, 90), act("pause", 15, 20)];

      expect(judge(actions, [use(21, 22)])).toEqual(["after pause"]);
    });

    it("does not take a refused resume for one", () => {
      const actions = [act("pause", 10, 20), act("resume", 30, 40, { outcome: "refused" })];

      expect(judge(actions, [use(41, 42)])).toEqual(["after pause"]);
    });

    it.each([
      ["a resume at the same time", [act("pause", 10, 20), act("resume", 15, 25)]],
      [
        "a resume whose end nobody knows",
        [act("resume", 5, 6, { outcome: "unknown" }), act("pause", 10, 20)],
      ],
    ])("says nothing about it after %s", (_, actions) => {
      expect(judge(actions, [use(31, 32)])).toEqual([]);
    });

    it.each(["refused", "unknown"] as const)("says nothing about one that is %s", (outcome) => {
      expect(judge([act("pause", 10, 20, { outcome })], [use(21, 22)])).toEqual([]);
    });

    it("of a credential is not undone by a resume of its identity", () => {
      const actions = [act("pause", 10, 20, { targets: ["credential 0"] }), act("resume", 30, 40)];

      expect(judge(actions, [use(41, 42)])).toEqual(["after pause"]);
    });

    it("of an ancestor ends the uses of its descendants, and of nobody else", () => {
      const identities = new Map([
        ["lead", null],
        ["crew", "lead"],
        ["bot", "crew"],
      ]);

      expect(judge([act("pause", 10, 20, { targets: ["identity lead"] })], [use(21, 22)])).toEqual([]);
      expect(
        judge([act("pause", 10, 20, { targets: ["identity lead"] })], [use(21, 22)], { identities }),
      ).toEqual(["after pause"]);
    });
  });

  describe("of a revocation", () => {
    it("finds a use that started after it, for ever", () => {
      const actions = [act("revoke", 10, 20), act("resume", 30, 40)];

      expect(judge(actions, [use(19, 50), use(20.5, 21), use(90_000, 90_001)])).toEqual([
        "after revoke",
        "after revoke",
      ]);
    });

    it("finds a use of what a rotation for compromise ended", () => {
      const actions = [act("rotate", 10, 20, { targets: ["credential 0"] })];

      expect(judge(actions, [use(21, 22)])).toEqual(["after revoke"]);
    });

    it("of one credential leaves the other alone", () => {
      const credentials = [BOT, { ...BOT, id: "new" }];
      const actions = [act("revoke", 10, 20, { targets: ["credential 0"] })];

      expect(judge(actions, [use(21, 22, { credential: 1 })], { credentials })).toEqual([]);
    });
  });

  describe("of a rotation", () => {
    const replaces = { credential: 0, grace: 5 * SECOND };
    const credentials = [BOT, { ...BOT, id: "new", replaces }];
    const successor = use(100, 110, { credential: 1 });

    it("finds a use of the predecessor after its grace", () => {
      expect(judge([], [use(5_200, 5_201), successor], { credentials })).toEqual(["after grace"]);
    });

    it("counts the grace from the first use that was accepted, whoever told it first", () => {
      const uses = [use(900, 910, { credential: 1 }), successor, use(5_200, 5_201)];

      expect(judge([], uses, { credentials })).toEqual(["after grace"]);
    });

    it("lets the predecessor be within its grace, and while the successor is unused", () => {
      const unused = use(100, 110, { credential: 1, outcome: "unavailable" });

      expect(judge([], [successor, use(5_109, 5_300)], { credentials })).toEqual([]);
      expect(judge([], [unused, use(60_000, 60_001)], { credentials })).toEqual([]);
    });
  });

  it("finds a use after the credential's expiry", () => {
    const credentials = [{ ...BOT, notAfter: ms(1_000) }];

    expect(judge([], [use(1_000, 1_010)], { credentials })).toEqual([]);
    expect(judge([], [use(1_060, 1_061)], { credentials })).toEqual(["after expiry"]);
  });

  it("finds a made-up secret that was accepted, and lets it be refused", () => {
    expect(judge([], [use(1, 2, { forged: true })])).toEqual(["forged"]);
    expect(judge([], [use(1, 2, { forged: true, outcome: "unknown" })])).toEqual([]);
  });

  it("finds an answer that belongs to another token", () => {
    expect(judge([], [use(1, 2, { outcome: "misattributed" })])).toEqual(["misattributed"]);
  });

  it.each(["unknown", "malformed"] as const)(
    "finds a token that is %s though the database knows it",
    (outcome) => {
      const credentials = [{ ...BOT, knownFrom: ms(10) }];

      expect(judge([], [use(9, 11, { outcome })], { credentials })).toEqual([]);
      expect(judge([], [use(11, 12, { outcome })], { credentials })).toEqual(["denied knowledge"]);
    },
  );

  it.each(["threw", "other"] as const)("finds an answer that is none: %s", (outcome) => {
    expect(judge([], [use(1, 2, { outcome })])).toEqual(["broken answer"]);
  });

  it("says which token, which verifier, which command and how late", () => {
    const [violation] = judgeHistory({
      identities: new Map([["bot", null]]),
      credentials: [BOT],
      actions: [act("pause", 10, 20, { by: "command" })],
      authentications: [use(22.5, 23, { verifier: 3 })],
    });

    expect(violation?.what).toBe(
      "mc_bot of bot at verifier 3, started at 22.500 ms, was accepted 2.500 ms after the end of pause bot (by command) at 20.000 ms",
    );
  });

  it.each([
    ["active", "accepted", 0],
    ["grace", "accepted", 0],
    ["active", "identity_paused", 1],
    ["active", "unavailable", 1],
    ["identity_paused", "identity_paused", 0],
    ["paused", "accepted", 1],
    ["revoked", "accepted", 1],
    ["revoked", "unavailable", 1],
    ["revoked", "identity_revoked", 0],
  ] as const)("with everything calm takes %s and %s for %i violations", (status, outcome, found) => {
    const violations = [
      ...judgeCalm([BOT], new Map([["bot", status]]), [{ verifier: 1, credential: 0, outcome }]),
    ];

    expect(violations).toHaveLength(found);
  });
});
