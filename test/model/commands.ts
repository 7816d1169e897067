import fc from "fast-check";
import type { CredentialStatus, IdentityStatus } from "../../src/domain/status.ts";

/** One thing that somebody does; rows are named by number, the latest first, whatever there is by then. */
export type Command =
  | {
      readonly do: "create";
      readonly parent: number | null;
      readonly life: number | null;
      readonly idleTtl: number | null;
    }
  | ({ readonly do: "issue" | "rotate" | "replace" } & Issuance)
  | { readonly do: "credential"; readonly which: number; readonly to: CredentialStatus }
  | { readonly do: "identity"; readonly which: number; readonly to: IdentityStatus }
  | { readonly do: "use"; readonly which: number }
  | { readonly do: "shorten credential"; readonly which: number; readonly life: number }
  | { readonly do: "shorten identity"; readonly which: number; readonly life: number }
  | { readonly do: "revoke token"; readonly which: number }
  | { readonly do: "wait"; readonly seconds: number };

export interface Issuance {
  readonly identity: number;
  readonly name: string;
  /** Which credential it replaces; null for the one that is current, if any. */
  readonly which: number | null;
  readonly grace: number;
  readonly life: number;
  readonly activateWithin: number;
}

/** Mostly the latest: random choices alone would hardly ever finish a rotation. */
const some = fc.oneof(
  { weight: 3, arbitrary: fc.constant(0) },
  { weight: 2, arbitrary: fc.nat({ max: 20 }) },
);
const issuance = {
  identity: some,
  name: fc.constantFrom("a", "b"),
  which: fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: some }),
  grace: fc.nat({ max: 4 }),
  life: fc.integer({ min: 1, max: 60 }),
  activateWithin: fc.integer({ min: 1, max: 12 }),
};

const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("create" as const),
      parent: fc.option(some, { nil: null }),
      life: fc.option(fc.integer({ min: 3, max: 90 }), { nil: null, freq: 2 }),
      idleTtl: fc.option(fc.integer({ min: 2, max: 20 }), { nil: null, freq: 1 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constantFrom("issue" as const, "rotate" as const, "replace" as const),
      ...issuance,
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("credential" as const),
      which: some,
      to: fc.constantFrom<CredentialStatus>(
        "active",
        "active",
        "active",
        "active",
        "paused",
        "superseded",
        "revoked",
        "abandoned",
        "pending",
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("identity" as const),
      which: some,
      to: fc.constantFrom<IdentityStatus>("active", "active", "active", "paused", "paused", "revoked"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("use" as const), which: some }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom("shorten credential" as const, "shorten identity" as const),
      which: some,
      life: fc.nat({ max: 10 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("revoke token" as const), which: some }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("wait" as const), seconds: fc.integer({ min: 1, max: 3 }) }),
  },
);

/** What an operator does most, all at once. */
const rotation: fc.Arbitrary<Command[]> = fc
  .record({ ...issuance, life: fc.integer({ min: 5, max: 60 }) })
  .map((each) => [
    { ...each, do: "issue", which: null },
    { do: "credential", which: 0, to: "active" },
    { ...each, do: "rotate", which: null },
    { do: "credential", which: 0, to: "active" },
  ]);

/** Long enough to be idle afterwards, and woken up. */
const nap: fc.Arbitrary<Command[]> = fc.constant([
  { do: "wait", seconds: 8 },
  { do: "identity", which: 0, to: "paused" },
  { do: "identity", which: 0, to: "active" },
]);

export const sequence: fc.Arbitrary<Command[]> = fc
  .array(
    fc.oneof(
      { weight: 12, arbitrary: command.map((each) => [each]) },
      { weight: 1, arbitrary: fc.oneof(rotation, rotation, nap) },
    ),
    {
      minLength: 1,
      maxLength: 50,
      size: "max",
    },
  )
  .map((steps) => steps.flat());
