import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  authenticates,
  type CredentialFacts,
  type CredentialStatus,
  credentialTransition,
  type EffectiveStatus,
  effectiveCredentialStatus,
  effectiveIdentityStatus,
  graceEnd,
  type IdentityFacts,
  type IdentityStatus,
  identityTransition,
  isCurrent,
  isIdle,
  isLive,
  isPending,
} from "../../src/domain/status.ts";
import { refusal } from "./refusal.ts";

const NOW = new Date("2026-01-15T12:00:00.000Z");
const at = (seconds: number) => new Date(NOW.getTime() + seconds * 1000);
const PAST = at(-3600);
const SOON = at(3600);

function identity(facts: Partial<IdentityFacts> = {}): IdentityFacts {
  const born = {
    status: "active",
    expiresAt: null,
    idleTtl: null,
    lastUsedAt: null,
    resumedAt: null,
  } as const;
  return { ...born, createdAt: at(-86_400), ...facts };
}

function credential(facts: Partial<CredentialFacts> = {}): CredentialFacts {
  return { status: "active", expiresAt: SOON, activationDeadline: PAST, graceUntil: null, ...facts };
}

const REVOKED = identity({ status: "revoked" });
const EXPIRED = identity({ expiresAt: PAST });
const PAUSED = identity({ status: "paused" });
const IDLE = identity({ idleTtl: 60 });
const FINE = identity();

describe("an identity's effective status", () => {
  it.each<[string, IdentityFacts[], EffectiveStatus]>([
    ["nothing is wrong", [FINE, FINE], "active"],
    ["it is revoked", [REVOKED, FINE], "revoked"],
    ["it is revoked under a revoked parent", [REVOKED, REVOKED], "revoked"],
    ["its parent is revoked", [FINE, REVOKED], "identity_revoked"],
    ["a far ancestor is revoked and it has expired", [EXPIRED, FINE, REVOKED], "identity_revoked"],
    ["it has expired", [EXPIRED], "expired"],
    ["a far ancestor has expired and it is paused", [PAUSED, FINE, EXPIRED], "expired"],
    ["it is paused", [PAUSED], "paused"],
    ["it is paused under a paused parent", [PAUSED, PAUSED], "paused"],
    ["it is idle", [IDLE], "paused"],
    ["it is idle under a paused parent", [IDLE, PAUSED], "paused"],
    ["a far ancestor is paused", [FINE, FINE, PAUSED], "identity_paused"],
    ["its parent is idle, which counts for the parent alone", [FINE, IDLE], "active"],
  ])("when %s", (_, chain, expected) => {
    expect(effectiveIdentityStatus(chain, NOW)).toBe(expected);
  });

  it("turns at the very instant of its expiry", () => {
    expect(effectiveIdentityStatus([identity({ expiresAt: NOW })], NOW)).toBe("expired");
    expect(effectiveIdentityStatus([identity({ expiresAt: new Date(NOW.getTime() + 1) })], NOW)).toBe(
      "active",
    );
  });

  it("without an identity is a fault of the program", () => {
    expect(refusal(() => effectiveIdentityStatus([], NOW)).code).toBe("internal");
  });
});

describe("idleness", () => {
  it("counts from creation, and begins at the very instant", () => {
    expect(isIdle(identity({ idleTtl: 60, createdAt: at(-60) }), NOW)).toBe(true);
    expect(isIdle(identity({ idleTtl: 60, createdAt: new Date(at(-60).getTime() + 1) }), NOW)).toBe(false);
  });

  it("counts from the latest of creation, use and resume", () => {
    const ages = fc.integer({ min: 0, max: 200 });
    const maybe = fc.option(ages, { nil: null });
    fc.assert(
      fc.property(ages, maybe, maybe, fc.integer({ min: 1, max: 200 }), (created, used, resumed, idleTtl) => {
        const latest = Math.min(created, used ?? created, resumed ?? created);
        const facts = {
          idleTtl,
          createdAt: at(-created),
          lastUsedAt: used === null ? null : at(-used),
          resumedAt: resumed === null ? null : at(-resumed),
        };
        expect(isIdle(identity(facts), NOW)).toBe(latest >= idleTtl);
      }),
    );
  });

  it("does not exist without an idle life", () => {
    expect(isIdle(identity({ createdAt: new Date(0) }), NOW)).toBe(false);
  });
});

describe("a credential's effective status", () => {
  const pending = credential({ status: "pending", activationDeadline: SOON });
  const late = credential({ status: "pending", activationDeadline: PAST });
  const grace = credential({ status: "superseded", graceUntil: SOON });
  const over = credential({ status: "superseded", graceUntil: PAST });
  const ended = (status: CredentialStatus) => credential({ status, expiresAt: PAST, graceUntil: PAST });

  it.each<[string, CredentialFacts, IdentityFacts[], EffectiveStatus]>([
    ["active", credential(), [FINE], "active"],
    ["active without an end", credential({ expiresAt: null, activationDeadline: null }), [FINE], "active"],
    ["active, its own deadline long past", credential({ activationDeadline: PAST }), [FINE], "active"],
    ["pending", pending, [FINE], "pending"],
    ["pending past its deadline", late, [FINE], "abandoned"],
    ["paused", credential({ status: "paused" }), [FINE], "paused"],
    ["in grace", grace, [FINE], "grace"],
    ["past its grace", over, [FINE], "superseded"],
    ["superseded without any grace", credential({ status: "superseded" }), [FINE], "superseded"],
    ["abandoned", credential({ status: "abandoned" }), [FINE], "abandoned"],
    ["revoked", credential({ status: "revoked" }), [FINE], "revoked"],
    ["expired", ended("active"), [FINE], "expired"],
    ["paused and expired", ended("paused"), [FINE], "expired"],
    ["past its grace and expired", ended("superseded"), [FINE], "expired"],
    ["abandoned and expired", ended("abandoned"), [FINE], "abandoned"],
    ["revoked and expired", ended("revoked"), [FINE], "revoked"],
    ["pending past deadline and expiry", { ...late, expiresAt: PAST }, [FINE], "abandoned"],
    ["revoked under a revoked identity", credential({ status: "revoked" }), [REVOKED], "identity_revoked"],
    ["active under a revoked ancestor", credential(), [FINE, FINE, REVOKED], "identity_revoked"],
    ["active under an expired identity", credential(), [EXPIRED], "expired"],
    ["active under an expired ancestor", credential(), [FINE, EXPIRED], "expired"],
    ["abandoned under an expired identity", credential({ status: "abandoned" }), [EXPIRED], "abandoned"],
    ["active under a paused identity", credential(), [PAUSED], "identity_paused"],
    ["active under an idle identity", credential(), [IDLE], "identity_paused"],
    ["active under an idle parent of its identity", credential(), [FINE, IDLE], "active"],
    ["active under a paused ancestor", credential(), [FINE, FINE, PAUSED], "identity_paused"],
    ["paused under a paused identity", credential({ status: "paused" }), [PAUSED], "identity_paused"],
    ["pending under a paused identity", pending, [PAUSED], "identity_paused"],
    ["pending past its deadline under a paused identity", late, [PAUSED], "abandoned"],
    ["in grace under a paused identity", grace, [PAUSED], "identity_paused"],
    ["past its grace under a paused identity", over, [PAUSED], "superseded"],
  ])("%s", (_, facts, chain, expected) => {
    expect(effectiveCredentialStatus(facts, chain, NOW)).toBe(expected);
  });

  it.each<[string, (instant: Date) => CredentialFacts, EffectiveStatus, EffectiveStatus]>([
    ["expiry", (expiresAt) => credential({ expiresAt }), "expired", "active"],
    ["deadline", (end) => credential({ status: "pending", activationDeadline: end }), "abandoned", "pending"],
    ["end of grace", (graceUntil) => credential({ status: "superseded", graceUntil }), "superseded", "grace"],
  ])("turns at the very instant of its %s", (_, make, reached, before) => {
    expect(effectiveCredentialStatus(make(NOW), [FINE], NOW)).toBe(reached);
    expect(effectiveCredentialStatus(make(new Date(NOW.getTime() + 1)), [FINE], NOW)).toBe(before);
  });
});

describe("the strictest reason wins", () => {
  const instants = fc.constantFrom<(Date | null)[]>(null, PAST, at(-0.001), NOW, at(0.001), SOON);
  const identities: fc.Arbitrary<IdentityFacts> = fc.record({
    status: fc.constantFrom<IdentityStatus>("active", "active", "paused", "revoked"),
    expiresAt: instants,
    idleTtl: fc.constantFrom(null, 60, 86_400, 86_401),
    createdAt: fc.constant(at(-86_400)),
    lastUsedAt: instants,
    resumedAt: instants,
  });
  const credentials: fc.Arbitrary<CredentialFacts> = fc.record({
    status: fc.constantFrom<CredentialStatus>(
      "pending",
      "active",
      "paused",
      "superseded",
      "revoked",
      "abandoned",
    ),
    expiresAt: instants,
    activationDeadline: instants,
    graceUntil: instants,
  });
  const chains = fc.array(identities, { minLength: 1, maxLength: 4 });
  const passed = (instant: Date | null) => instant !== null && instant <= NOW;

  /** SPEC §3 word for word: every reason that applies, in its order; the first is the answer. */
  function reasons(facts: CredentialFacts, chain: readonly IdentityFacts[]): EffectiveStatus[] {
    const [self] = chain as [IdentityFacts];
    const { status } = facts;
    const table: [EffectiveStatus, boolean][] = [
      ["identity_revoked", chain.some((one) => one.status === "revoked")],
      ["revoked", status === "revoked"],
      ["abandoned", status === "abandoned" || (status === "pending" && passed(facts.activationDeadline))],
      ["expired", passed(facts.expiresAt) || chain.some((one) => passed(one.expiresAt))],
      ["superseded", status === "superseded" && (facts.graceUntil === null || passed(facts.graceUntil))],
      ["identity_paused", chain.some((one) => one.status === "paused") || isIdle(self, NOW)],
      ["paused", status === "paused"],
      ["pending", status === "pending"],
      ["grace", status === "superseded"],
      ["active", true],
    ];
    return table.filter(([, applies]) => applies).map(([reason]) => reason);
  }

  it("for any credential under any line of identities", () => {
    fc.assert(
      fc.property(credentials, chains, (facts, chain) => {
        expect(effectiveCredentialStatus(facts, chain, NOW)).toBe(reasons(facts, chain)[0]);
      }),
      { numRuns: 5000 },
    );
  });

  it("so nothing authenticates under an identity that is not active", () => {
    fc.assert(
      fc.property(credentials, chains, (facts, chain) => {
        fc.pre(effectiveIdentityStatus(chain, NOW) !== "active");
        expect(authenticates(effectiveCredentialStatus(facts, chain, NOW))).toBe(false);
      }),
      { numRuns: 1000 },
    );
  });

  it("so another ancestor never makes a refused credential good", () => {
    fc.assert(
      fc.property(credentials, chains, identities, (facts, chain, ancestor) => {
        fc.pre(!authenticates(effectiveCredentialStatus(facts, chain, NOW)));
        expect(authenticates(effectiveCredentialStatus(facts, [...chain, ancestor], NOW))).toBe(false);
      }),
      { numRuns: 1000 },
    );
  });

  it("so time alone never makes a refused credential good", () => {
    fc.assert(
      fc.property(credentials, chains, fc.integer({ min: 0, max: 10_000_000 }), (facts, chain, later) => {
        fc.pre(!authenticates(effectiveCredentialStatus(facts, chain, NOW)));
        expect(authenticates(effectiveCredentialStatus(facts, chain, at(later)))).toBe(false);
      }),
      { numRuns: 1000 },
    );
  });

  it("and a credential is live exactly when it would authenticate or is paused, its line aside", () => {
    fc.assert(
      fc.property(credentials, (facts) => {
        const alone = effectiveCredentialStatus(facts, [FINE], NOW);
        expect(isLive(facts, NOW)).toBe(authenticates(alone) || alone === "paused");
        expect(isCurrent(facts, NOW)).toBe(alone === "active" || alone === "paused");
        expect(isPending(facts, NOW)).toBe(alone === "pending");
      }),
      { numRuns: 1000 },
    );
  });
});

describe("authentication", () => {
  it("is for active, grace and pending alone", () => {
    const all: EffectiveStatus[] = [
      "active",
      "grace",
      "pending",
      "paused",
      "identity_paused",
      "superseded",
      "expired",
      "abandoned",
      "revoked",
      "identity_revoked",
    ];
    expect(all.filter(authenticates)).toEqual(["active", "grace", "pending"]);
  });
});

describe("transitions", () => {
  const statuses: CredentialStatus[] = ["pending", "active", "paused", "superseded", "revoked", "abandoned"];

  it("of a credential are those of SPEC §3 and no others", () => {
    const allowed = statuses.flatMap((from) =>
      statuses.flatMap((to) => {
        const causes = credentialTransition(from, to);
        return causes === null ? [] : [`${from} → ${to}: ${causes.join(", ")}`];
      }),
    );
    expect(allowed).toEqual([
      "pending → active: first-use",
      "pending → revoked: operator",
      "pending → abandoned: deadline, replaced",
      "active → paused: operator",
      "active → superseded: successor-first-use",
      "active → revoked: operator",
      "paused → active: operator",
      "paused → superseded: successor-first-use",
      "paused → revoked: operator",
      "superseded → revoked: operator",
    ]);
  });

  it("of an identity are pause, resume and revoke", () => {
    const kinds: IdentityStatus[] = ["active", "paused", "revoked"];
    const allowed = kinds.flatMap((from) =>
      kinds.filter((to) => identityTransition(from, to)).map((to) => `${from} → ${to}`),
    );
    expect(allowed).toEqual(["active → paused", "active → revoked", "paused → active", "paused → revoked"]);
  });

  it("to paused may be idleness alone", () => {
    expect(identityTransition("active", "paused")).toEqual(["operator", "idle"]);
  });
});

describe("the end of grace", () => {
  it.each<[string, Partial<CredentialFacts>, number, Date]>([
    ["is now + grace", { expiresAt: SOON }, 60, at(60)],
    ["is the expiry where that is sooner", { expiresAt: at(30) }, 60, at(30)],
    ["is now + grace without an expiry", { expiresAt: null }, 60, at(60)],
    ["is now without grace", { expiresAt: SOON }, 0, NOW],
    ["is now for a paused one", { status: "paused", expiresAt: SOON }, 60, NOW],
    ["is now for one that expires now", { expiresAt: NOW }, 60, NOW],
    ["is not moved for an expired one", { expiresAt: PAST }, 60, PAST],
  ])("%s", (_, facts, grace, expected) => {
    expect(graceEnd(credential(facts), grace, NOW)).toEqual(expected);
  });

  it("never outlives the expiry, and leaves a paused or expired one superseded at once", () => {
    fc.assert(
      fc.property(
        fc.constantFrom<CredentialStatus>("active", "paused"),
        fc.option(fc.integer({ min: -100, max: 100 }), { nil: null }),
        fc.integer({ min: 1, max: 200 }),
        (status, expiry, grace) => {
          const before = credential({ status, expiresAt: expiry === null ? null : at(expiry) });
          const graceUntil = graceEnd(before, grace, NOW);
          const after = credential({ ...before, status: "superseded", graceUntil });
          if (before.expiresAt !== null)
            expect(graceUntil.getTime()).toBeLessThanOrEqual(before.expiresAt.getTime());
          const effective = effectiveCredentialStatus(after, [FINE], NOW);
          const deserved = status === "active" && isCurrent(before, NOW);
          expect(effective === "grace").toBe(deserved);
        },
      ),
    );
  });
});
