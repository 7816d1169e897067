import { describe, expect, it } from "vitest";
import { renderView } from "../../src/cli/output.ts";
import { createPaint } from "../../src/cli/paint.ts";
import type { ApprovalShowDocument } from "../../src/cli/verbs/approval-show.ts";
import { viewApprovalShow } from "../../src/cli/views/approval-show.ts";
import type { LineOf, Plan, PlanLine } from "../../src/operations/approval/plan.ts";

/** What people read before they sign: nothing that a stranger put into a plan may hide in it. */

const BOT = { slug: "harmless", publicId: "hX3hX3hX3hX3", version: 1 };
const issue = (edit: Partial<LineOf<"credential.issue">> = {}, scopes: string[] = []): PlanLine => ({
  do: "credential.issue",
  identity: BOT,
  create: null,
  credential: { id: "mc_AAAAAAAAAAAA", version: null },
  token: { secret: "0".repeat(64), scopes, notAfter: "2027-01-01T00:00:00.000Z" },
  name: "default",
  activateWithin: 86_400,
  replacesPending: null,
  ...edit,
});
const pause = (identity = BOT): PlanLine => ({
  ...{ do: "pause", identity, credential: null, token: null, from: "active" },
});
const create = (slug: string, said: { displayName?: string; labels?: Record<string, string> }): PlanLine => ({
  do: "identity.create",
  ...{ identity: { ...BOT, slug }, credential: null, token: null },
  create: {
    ...{ kind: "service", provider: null, threadId: null, displayName: slug, owner: "platform" },
    ...{ labels: {}, parent: null, workspace: null, expiresAt: null, idleTtl: null },
    ...said,
  },
});

async function shown(lines: readonly PlanLine[], edit: Partial<ApprovalShowDocument> = {}) {
  const plan: Plan = {
    ...{ v: 1, id: "ap_AAAAAAAAAAAA", action: lines[0]?.do ?? "", requester: "alice", reason: null },
    environment: { name: "production", live: true, databaseId: "c1c29be8-db47-4c7c-8578-c56726977438" },
    ...{ nonce: "0".repeat(32), log: { size: 0, leafHash: null }, breakGlass: null },
    requestedAt: "2026-01-01T00:00:00.000Z",
    approveBy: "2026-01-01T08:00:00.000Z",
    executeBy: "2026-01-02T00:00:00.000Z",
    lines: [...lines],
  };
  const { requestedAt, approveBy, executeBy } = plan;
  const document: ApprovalShowDocument = {
    approval: {
      ...{ id: plan.id, digest: "d".repeat(64), action: plan.action, requester: "alice", quorum: 1 },
      ...{ breakGlass: false, status: "open", lines: lines.length, done: 0, superseded: 0 },
      ...{ requestedAt, approveBy, executeBy, endedAt: null },
    },
    plan,
    votes: [],
    judgement: null,
    lines: lines.map((_, at) => ({ line: at + 1, outcome: null, effect: null, problem: null })),
    untried: 0,
    ...edit,
  };
  return renderView(viewApprovalShow(document), {
    format: "plain",
    fields: undefined,
    onTerminal: false,
    columns: 80,
    now: 0,
    paint: await createPaint(0),
  });
}

describe("approval show", () => {
  it("has every line in words, and says of how many the effects are left out", async () => {
    const lines = [...Array(20).fill(pause()), issue({}, ["admin:*"])];

    const { result, notices } = await shown(lines, { untried: 1 });

    expect(result).toContain("21. issue mc_AAAAAAAAAAAA to harmless (hX3hX3hX3hX3)\n");
    expect(result).toContain("     scopes = admin:*\n");
    expect(notices).toContain("effects of 1 more line: --all\n");
  });

  it("names the public id of each target", async () => {
    expect((await shown([pause()])).result).toContain("1. pause harmless (hX3hX3hX3hX3)\n");
  });

  it("tells two scopes from one that looks like them, and none from no scopes", async () => {
    expect((await shown([issue({}, ["none"])])).result).toContain("scopes = none\n");
    expect((await shown([issue({}, [])])).result).toContain("scopes = (none)\n");
    expect((await shown([issue({}, ["(none)"])])).result).toContain('scopes = "(none)"\n');
    expect((await shown([issue({}, ["a b"])])).result).toContain('scopes = "a b"\n');
    expect((await shown([issue({}, ["a", "b"])])).result).toContain("scopes = a b\n");
  });

  it("quotes what could pass for something else", async () => {
    const { result } = await shown([create("bot", { labels: { team: 'a" owner="b', "x=y": "z" } })]);

    expect(result).toContain('     labels = team="a\\" owner=\\"b" "x=y"=z\n');
  });

  it("says where letters are not what they may look like", async () => {
    const { result } = await shown([create("bot", { displayName: "bоt" })]);

    expect(result).toContain('     displayName = "bоt" (not ASCII)\n');
    expect(result).toContain("1. create the identity bot (hX3hX3hX3hX3) of platform\n");
  });

  it("quotes what would change as well", async () => {
    const effect = {
      ...{ do: "identity.update", target: "harmless" },
      changes: [
        { field: "harmless owner", from: "a", to: "b → c" },
        { field: "harmless scopes", from: null, to: "" },
        { field: "harmless labels", from: '{"a":"b c"}', to: "{}" },
      ],
    };
    const { result } = await shown([pause()], {
      lines: [{ line: 1, outcome: null, effect, problem: null }],
    });

    expect(result).toContain('     harmless owner: a → "b → c" (not ASCII)\n');
    expect(result).toContain("     harmless scopes: - → (none)\n");
    expect(result).toContain('     harmless labels: a="b c" → (none)\n');
  });

  it("names last what could not be carried out now", async () => {
    const lines = [pause(), pause()];

    const { notices } = await shown(lines, {
      lines: [
        { line: 1, outcome: null, effect: null, problem: null },
        { line: 2, outcome: null, effect: null, problem: "harmless is paused." },
      ],
    });

    expect(notices).toMatch(/1 of 2 lines could not be carried out now: 2\n$/);
  });

  it("sums up more than 200 lines, the rarest first", async () => {
    const late = { secret: "0".repeat(64), scopes: ["admin:*"], notAfter: "2029-01-01T00:00:00.000Z" };
    const lines = [...Array(200).fill(issue({}, ["cards:*"])), issue({ token: late }), pause()];

    const { result } = await shown(lines);

    expect(result).toContain("in all\t1 pause, 201 credential.issue\n");
    expect(result).toContain("scopes\tadmin:*, in 1 line\nscopes\tcards:*, in 200 lines\n");
    expect(result).toContain("latest end\t2029-01-01T00:00:00.000Z\n");
    expect(result.indexOf("in all")).toBeLessThan(result.indexOf("1. issue"));
  });

  it.each([
    ["rejected", "no: rejected"],
    ["expired", "no: expired"],
    ["break_glass", "no: the policy lets alice not break the glass"],
  ] as const)("of a request that is %s says that it is not in force", async (short, said) => {
    const judgement = { inForce: false, short, approvers: ["bob"], quorum: 1 };

    expect((await shown([pause()], { judgement })).result).toContain(`in force\t${said}\n`);
  });
});
