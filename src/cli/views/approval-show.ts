import type { Plan, PlanLine } from "../../operations/approval/plan.ts";
import type { ApprovalShowDocument } from "../verbs/approval-show.ts";
import { type Block, status, time, type View } from "../view.ts";

export function viewApprovalShow(document: ApprovalShowDocument): View {
  const { approval, votes, judgement, lines } = document;
  const plan = document.plan as unknown as Plan;
  const blocks: Block[] = [
    {
      kind: "fields",
      fields: [
        ["approval", approval.id],
        ["status", status(approval.status)],
        ["environment", `${plan.environment.name} (${plan.environment.live ? "live" : "test"})`],
        ["action", `${approval.breakGlass ? "break-glass: " : ""}${approval.action}`],
        ...(plan.breakGlass === null ? [] : [["ticket", plan.breakGlass.ticket] as const]),
        ["requester", approval.requester],
        ["reason", plan.reason],
        ["requested", time(approval.requestedAt)],
        ["approve by", time(approval.approveBy)],
        ["execute by", time(approval.executeBy)],
        ["digest", approval.digest],
        ["lines", `${approval.lines} (${approval.done} done, ${approval.superseded} superseded)`],
        ["in force", inForce(judgement)],
      ],
    },
    {
      kind: "table",
      columns: [
        { title: "VOTE", fixed: true },
        { title: "WHO" },
        { title: "HOLDS" },
        { title: "WHEN" },
        { title: "KEY", optional: true },
      ],
      rows: votes.map((vote) => [
        vote.kind,
        vote.principal,
        vote.holds === null
          ? "not judged"
          : vote.holds
            ? { text: "yes", tone: "good" }
            : { text: `no: ${vote.fault}`, tone: "bad" },
        time(vote.at),
        vote.keyFingerprint,
      ]),
      empty: "Nobody has signed.",
    },
  ];
  for (const { line, outcome, effect, problem } of lines) {
    const said = plan.lines[line - 1];
    if (said === undefined) continue;
    blocks.push({
      kind: "line",
      cells: [`${line}. ${describeLine(said)}`, outcome === null ? "" : ` (${outcome})`],
    });
    for (const change of effect?.changes ?? []) {
      blocks.push({
        kind: "line",
        cells: [`     ${change.field}: ${change.from ?? "-"} → ${change.to ?? "-"}`],
      });
    }
    if (problem !== null) {
      blocks.push({
        kind: "line",
        cells: [{ text: `     could not be carried out now: ${problem}`, tone: "bad" }],
      });
    }
  }
  if (lines.length < approval.lines) {
    blocks.push({ kind: "notice", text: `${approval.lines - lines.length} more lines: --all` });
  }
  return blocks;
}

function inForce(judgement: ApprovalShowDocument["judgement"]) {
  if (judgement === null) return "not judged: no --trust-dir";
  const { approvers, quorum, short } = judgement;
  const count = `${approvers.length} of ${quorum} approvals hold`;
  if (short === null) return { text: `yes: ${count} (${approvers.join(", ")})`, tone: "good" as const };
  return short === "quorum"
    ? `not yet: ${count}`
    : {
        text: short === "database" ? "no: the policy names other databases" : "no: the request is not signed",
        tone: "bad" as const,
      };
}

/** One line of a plan in words. */
export function describeLine(line: PlanLine): string {
  switch (line.do) {
    case "identity.create":
      return `create the identity ${line.identity.slug} of ${line.create.owner}`;
    case "identity.update":
      return `change the identity ${line.identity.slug}`;
    case "credential.issue":
      return `issue ${line.credential.id} to ${line.identity.slug}${line.create === null ? "" : `, which is created, of ${line.create.owner}`}; ${terms(line)}`;
    case "credential.rotate":
      return `issue ${line.credential.id} to ${line.identity.slug} in place of ${line.replaces.id}${line.revokes.length > 0 ? `, revoking ${line.revokes.join(", ")} at once` : `, which ends ${line.grace} s after the first use`}; ${terms(line)}`;
    case "pause":
    case "resume":
    case "revoke":
      return `${line.do} ${line.credential?.id ?? line.identity?.slug ?? ""}`;
    case "identity.adopt":
      return `adopt ${line.credential.id} into ${line.identity.slug}${line.create === null ? "" : `, which is created, of ${line.create.owner}`}; ${terms(line)}`;
    case "token.sunset":
      return `end every legacy token at ${line.endsAt}`;
    case "environment.protect":
      return `go on accepting ${line.credential.id}${line.identity === null ? " (legacy)" : ` of ${line.identity.slug}`}; ${terms(line)}`;
    case "environment.grant":
      return `${line.revoke ? "take" : "give"} ${line.role} ${line.roles.join(", ")}`;
    case "db.migrate":
      return `upgrade the schema: ${line.migrations.map(({ name }) => name).join(", ")}`;
    case "db.rollback":
      return "take the schema away";
  }
}

function terms({
  token,
}: {
  readonly token: { readonly scopes: readonly string[]; readonly notAfter: string };
}): string {
  return `scopes ${token.scopes.length === 0 ? "none" : token.scopes.join(" ")}, until ${token.notAfter}`;
}
