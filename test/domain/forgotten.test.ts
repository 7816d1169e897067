import { describe, expect, it } from "vitest";
import { Forgotten } from "../../src/domain/forgotten.ts";

describe("what lost entries had decided", () => {
  it("is the last word on how an identity stands, and when it ends beside it, in whatever order they came", () => {
    const end = { expiresAt: [null, "2026-12-01T00:00:00.000Z"] };

    for (const actions of [
      ["update", "pause"],
      ["pause", "update"],
    ]) {
      const { steps } = read(
        ...actions.map((verb) => [`identity.${verb}`, verb === "update" ? end : {}] as const),
      );

      expect(steps.map(({ does }) => does).sort()).toEqual(["expire", "pause"]);
    }
  });

  it("is nothing where a pause was lifted again, but the end that was set meanwhile", () => {
    const end = { expiresAt: [null, "2026-12-01T00:00:00.000Z"] };

    const { steps, others } = read(["identity.pause", {}], ["identity.update", end], ["identity.resume", {}]);

    expect(steps).toEqual([expect.objectContaining({ does: "expire", expiresAt: end.expiresAt[1] })]);
    expect(others).toEqual({ "identity.resume": 1 });
  });

  it("is the last idle life that was set, beside an end of the same entry", () => {
    const { steps, others } = read(
      ["identity.update", { idleTtl: [null, 86_400] }],
      ["identity.update", { idleTtl: [86_400, 3_600], expiresAt: [null, "2026-12-01T00:00:00.000Z"] }],
      ["identity.update", { owner: ["a", "b"] }],
    );

    expect(steps.map(({ does, entry, idleTtl }) => [does, entry, idleTtl])).toEqual([
      ["expire", 1, null],
      ["idle", 1, 3_600],
    ]);
    expect(others).toEqual({ "identity.update": 1 });
  });

  it("is no idle life where it was taken away again", () => {
    const { steps, others } = read(
      ["identity.update", { idleTtl: [null, 3_600] }],
      ["identity.update", { idleTtl: [3_600, null] }],
    );

    expect({ steps, others }).toEqual({ steps: [], others: { "identity.update": 1 } });
  });

  it("is a revocation alone where one came, by the entry that decided it", () => {
    const { steps } = read(
      ["identity.update", { expiresAt: [null, "2026-12-01T00:00:00.000Z"] }],
      ["identity.pause", {}],
      ["identity.revoke", {}],
    );

    expect(steps).toEqual([expect.objectContaining({ does: "revoke", entry: 2, action: "identity.revoke" })]);
  });

  it("is nothing of an identity that was created in there", () => {
    const { steps, others } = read(["identity.create", {}], ["identity.revoke", {}]);

    expect({ steps, others }).toEqual({ steps: [], others: { "identity.create": 1, "identity.revoke": 1 } });
  });
});

function read(...said: readonly (readonly [action: string, details: object])[]) {
  const forgotten = new Forgotten();
  for (const [index, [action, details]] of said.entries()) {
    const about = { identity: "abcdefghijkl", credential: null, token: null };
    forgotten.take(JSON.stringify({ index, action, at: "2026-11-27T00:00:00.000Z", ...about, details }));
  }
  return { steps: forgotten.steps(), others: forgotten.others() };
}
