import { describe, expect, it } from "vitest";
import { Forgotten } from "../../src/domain/forgotten.ts";
import { reasonAgain } from "../../src/domain/lost-entry.ts";
import { parseReason } from "../../src/domain/names.ts";

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

  it("is so of an identity that was created in there, too, and says that it was", () => {
    const { steps, others } = read(["identity.create", {}], ["identity.revoke", {}]);

    expect(steps).toEqual([expect.objectContaining({ does: "revoke", isBorn: true })]);
    expect(others).toEqual({ "identity.create": 1 });
  });
});

describe("what else lost entries had decided, and is for people to do again", () => {
  it("is rights of a database role that were taken away, as they were left last", () => {
    const { limits, others } = read(
      ["environment.grant", { databaseRole: "alice", roles: [["operator", "auditor"], ["auditor"]] }],
      ["environment.grant", { databaseRole: "alice", roles: [["auditor"], ["auditor", "verifier"]] }],
      ["environment.grant", { databaseRole: "bob", roles: [[], ["operator"]] }],
    );

    expect(limits).toMatchObject([
      { what: "grant", name: "alice", roles: ["auditor", "verifier"], entry: 1 },
    ]);
    expect(others).toEqual({ "environment.grant": 1 });
  });

  it("is an approval that was rejected, cancelled or used", () => {
    const { limits, others } = read(
      ["approval.reject", { approval: "ap_a" }],
      ["approval.cancel", { approval: "ap_b" }],
      ["identity.create", {}, { approval: "ap_c" }],
      ["approval.approve", { approval: "ap_d" }],
      ["approval.supersede", { approval: "ap_e", line: 1 }],
    );

    expect(limits.map((limit) => (limit.what === "approval" ? limit.id : limit.what))).toEqual([
      ...["ap_a", "ap_b", "ap_c", "ap_e"],
    ]);
    expect(others).toEqual({ "approval.approve": 1, "identity.create": 1 });
  });

  it("is the protection of the environment, a workspace that was deleted, and that the database had moved", () => {
    const { limits } = read(
      ["environment.protect", { protected: true }],
      ["workspace.delete", { workspace: "wsabcdefghij" }],
      ["environment.move", { movedTo: "postgres://elsewhere/db" }],
    );

    expect(limits).toMatchObject([
      { what: "protection" },
      { what: "workspace", id: "wsabcdefghij" },
      { what: "move", place: "postgres://elsewhere/db" },
    ]);
  });

  it("is a sooner end of legacy tokens, but of those that are revoked again", () => {
    const endsAt = "2027-01-01T00:00:00.000Z";
    const { limits, steps } = read(
      ["token.update", { expiresAt: [null, endsAt] }, { token: "one" }],
      ["token.update", { expiresAt: [null, endsAt] }, { token: "two" }],
      ["token.revoke", {}, { token: "one" }],
    );

    expect(limits).toMatchObject([{ what: "sunset", endsAt, tokens: ["two"] }]);
    expect(steps).toMatchObject([{ kind: "token", publicId: "one", does: "revoke" }]);
  });

  it("is an adoption, but of a token whose credential or identity ended, or was halted or bounded: that is revoked again", () => {
    const adopt = (credential: string, identity: string) =>
      ["credential.adopt", {}, { credential, identity, slug: identity }] as const;
    const { limits, steps } = read(
      ["identity.create", { owner: "team" }, { identity: "new" }],
      adopt("one", "new"),
      adopt("two", "old"),
      adopt("three", "old"),
      ["credential.revoke", {}, { credential: "two", identity: "old" }],
      ["identity.pause", {}, { identity: "old" }],
      adopt("four", "gone"),
      ["identity.revoke", {}, { identity: "gone" }],
    );

    expect(limits).toMatchObject([{ what: "adoption", token: "one", slug: "new", owner: "team" }]);
    expect(steps.map(({ kind, publicId, does }) => `${does} ${kind} ${publicId}`)).toEqual([
      ...["revoke identity gone", "revoke token two", "revoke token three", "revoke token four"],
      "pause identity old",
    ]);
  });
});

describe("a legacy token that was adopted", () => {
  const adopted = ["credential.adopt", {}, { credential: "it", identity: "of", slug: "of" }] as const;
  const said = (action: string, details: object = {}): SaidEntry => [
    action,
    details,
    { credential: action.startsWith("credential.") ? "it" : null, identity: "of", slug: "of" },
  ];

  it.each<[string, readonly SaidEntry[]]>([
    ["it was paused", [adopted, said("credential.pause")]],
    ["its identity was paused before", [said("identity.pause"), adopted]],
    [
      "its identity has an end",
      [said("identity.create", { expiresAt: "2027-01-01T00:00:00.000Z" }), adopted],
    ],
    ["its identity may be idle for so long", [said("identity.create", { idleTtl: 60 }), adopted]],
    ["its identity has a parent", [said("identity.create", { parent: "above" }), adopted]],
    ["its identity was given an end", [adopted, said("identity.update", { expiresAt: [null, "2027"] })]],
    [
      "its identity was given an end, and paused and resumed since",
      [
        adopted,
        said("identity.update", { expiresAt: [null, "2027"] }),
        said("identity.pause"),
        said("identity.resume"),
      ],
    ],
  ])("is revoked where %s", (_, entries) => {
    const { steps, limits } = read(...entries);

    expect(steps).toContainEqual(expect.objectContaining({ kind: "token", publicId: "it", does: "revoke" }));
    expect(limits).toEqual([]);
  });

  it.each<[string, readonly SaidEntry[]]>([
    [
      "nothing bounded it",
      [said("identity.create", { parent: null, expiresAt: null, idleTtl: null }), adopted],
    ],
    ["it was resumed", [adopted, said("credential.pause"), said("credential.resume")]],
    ["its identity was resumed", [adopted, said("identity.pause"), said("identity.resume")]],
    ["its identity was given another owner", [adopted, said("identity.update", { owner: ["a", "b"] })]],
  ])("is to be adopted again where %s", (_, entries) => {
    const { steps, limits } = read(...entries);

    expect(steps.filter(({ kind }) => kind === "token")).toEqual([]);
    expect(limits).toMatchObject([{ what: "adoption", token: "it" }]);
  });
});

describe("the reason why something is done again", () => {
  const of = { entry: 7, action: "identity.revoke", at: "2026-11-27T00:00:00.000Z" };

  it("has who did it first, and why", () => {
    expect(reasonAgain({ ...of, actor: "alice", reason: "INC-1" })).toBe(
      "log_7, identity.revoke of 2026-11-27T00:00:00.000Z by alice, which a restore had lost: INC-1",
    );
  });

  it.each(["long ".repeat(200).trim(), "bell \u0007 rings"])("is one that may be stored", (reason) => {
    const again = reasonAgain({ ...of, actor: "a".repeat(255), reason });

    expect(parseReason(again)).toBe(again);
  });
});

type SaidEntry = readonly [action: string, details: object, about?: object];

function read(...said: readonly SaidEntry[]) {
  const forgotten = new Forgotten();
  for (const [index, [action, details, more]] of said.entries()) {
    const about = {
      identity: "abcdefghijkl",
      credential: null,
      token: null,
      slug: null,
      approval: null,
      actor: { kind: "operator", name: "alice" },
      reason: null,
      ...more,
    };
    forgotten.take(JSON.stringify({ index, action, at: "2026-11-27T00:00:00.000Z", ...about, details }));
  }
  return { steps: forgotten.steps(), limits: forgotten.limits(), others: forgotten.others() };
}
