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
        ["action", `${plan.breakGlass === null ? "" : "break-glass: "}${plan.action}`],
        ...(plan.breakGlass === null ? [] : [["ticket", plan.breakGlass.ticket] as const]),
        ["requester", plan.requester],
        ["reason", plan.reason],
        ["requested", time(plan.requestedAt)],
        ["approve by", time(plan.breakGlass === null ? plan.approveBy : null)],
        ["execute by", time(plan.breakGlass === null ? plan.executeBy : null)],
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
    for (const [name, value] of termsOf(said)) {
      blocks.push({ kind: "line", cells: [`     ${name} = ${value}`] });
    }
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
      return `issue ${line.credential.id} to ${line.identity.slug}${line.create === null ? "" : `, which is created, of ${line.create.owner}`}`;
    case "credential.rotate":
      return `issue ${line.credential.id} to ${line.identity.slug} in place of ${line.replaces.id}${line.revokes.length > 0 ? `, revoking ${line.revokes.join(", ")} at once` : `, which ends ${line.grace} s after the first use`}`;
    case "pause":
    case "resume":
    case "revoke":
      return `${line.do} ${line.credential?.id ?? line.identity?.slug ?? ""}`;
    case "identity.adopt":
      return `adopt ${line.credential.id} into ${line.identity.slug}${line.create === null ? "" : `, which is created, of ${line.create.owner}`}`;
    case "token.sunset":
      return `end every legacy token at ${line.endsAt}`;
    case "environment.protect":
      return `go on accepting ${line.credential.id}${line.identity === null ? " (legacy)" : ` of ${line.identity.slug}`}${line.shortened ? ", which had no end and gets one" : ""}`;
    case "environment.grant":
      return `${line.revoke ? "take" : "give"} ${line.role} ${line.roles.join(", ")}`;
    case "db.migrate":
      return `upgrade the schema: ${line.migrations.map(({ name }) => name).join(", ")}`;
    case "db.rollback":
      return "take the schema away";
  }
}

/** What else a line says, as it is signed: what the database adds about effects is not. */
function termsOf(line: PlanLine): readonly (readonly [string, string])[] {
  const said: Readonly<Record<string, unknown>> = {
    ...("create" in line && line.create !== null ? line.create : {}),
    ...("set" in line ? line.set : {}),
    ...("name" in line ? { name: line.name } : {}),
    ...("activateWithin" in line ? { activateWithin: `${line.activateWithin} s` } : {}),
    ...("replacesPending" in line ? { replacesPending: line.replacesPending } : {}),
    ...(line.token === null ? {} : { scopes: line.token.scopes, notAfter: line.token.notAfter }),
  };
  return Object.entries(said).flatMap(([name, value]) =>
    value === null ? [] : [[name, show(value)] as const],
  );
}

function show(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(" ");
  if (typeof value !== "object") return String(value);
  const entries = Object.entries(value as Record<string, unknown>);
  return entries.length === 0 ? "none" : entries.map(([key, each]) => `${key}=${each}`).join(" ");
}
