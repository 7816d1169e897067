import type { Plan } from "../../operations/approval/plan.ts";
import type { ApprovalShowDocument } from "../verbs/approval-show.ts";
import { type Block, type Cell, status, time, type View } from "../view.ts";
import {
  countLines,
  describeLine,
  noteForeign,
  sumUp,
  termsOf,
  word,
  wordList,
  wordPairs,
} from "./plan-words.ts";

type Change = NonNullable<ApprovalShowDocument["lines"][number]["effect"]>["changes"][number];

/** Of more lines than these it is said first what they come to. */
const MANY = 200;

/** @param all how one gets the effects of every line */
export function viewApprovalShow(document: ApprovalShowDocument, all = "--all"): View {
  const { approval, votes, lines, untried } = document;
  const plan = document.plan as unknown as Plan;
  const blocks: Block[] = [
    {
      kind: "fields",
      fields: [
        ["approval", approval.id],
        ["status", status(approval.status)],
        ["environment", `${noteForeign(plan.environment.name)} (${plan.environment.live ? "live" : "test"})`],
        ["action", `${plan.breakGlass === null ? "" : "break-glass: "}${plan.action}`],
        ...(plan.breakGlass === null ? [] : [["ticket", noteForeign(plan.breakGlass.ticket)] as const]),
        ["requester", noteForeign(plan.requester)],
        ["reason", plan.reason],
        ["requested", time(plan.requestedAt)],
        ["approve by", time(plan.breakGlass === null ? plan.approveBy : null)],
        ["execute by", time(plan.breakGlass === null ? plan.executeBy : null)],
        ["digest", approval.digest],
        ["lines", `${approval.lines} (${approval.done} done, ${approval.superseded} superseded)`],
        ["in force", inForce(document, plan)],
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
        noteForeign(vote.principal),
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
  if (plan.lines.length > MANY) blocks.push({ kind: "fields", fields: sumUp(plan.lines) });
  for (const { line, outcome, effect, problem } of lines) {
    const said = plan.lines[line - 1];
    if (said === undefined) continue;
    blocks.push({
      kind: "line",
      words: true,
      cells: [`${line}. ${describeLine(said)}`, outcome === null ? "" : ` (${outcome})`],
    });
    for (const term of termsOf(said)) blocks.push({ kind: "line", words: true, cells: [`     ${term}`] });
    for (const change of effect?.changes ?? []) {
      blocks.push({ kind: "line", words: true, cells: [`     ${describeChange(change)}`] });
    }
    if (problem !== null) {
      blocks.push({
        kind: "line",
        words: true,
        cells: [{ text: `     could not be carried out now: ${problem}`, tone: "bad" }],
      });
    }
  }
  if (untried > 0) {
    blocks.push({
      kind: "notice",
      text: `effects of ${untried} more ${untried === 1 ? "line" : "lines"}: ${all}`,
    });
  }
  const failing = lines.filter(({ problem }) => problem !== null).map(({ line }) => line);
  if (failing.length > 0) {
    blocks.push({
      kind: "notice",
      text: `${failing.length} of ${countLines(approval.lines)} could not be carried out now: ${failing.join(", ")}`,
    });
  }
  return blocks;
}

/** A field that would change, as the database says. */
function describeChange({ field, from, to }: Change): string {
  const values = [from, to].map((value) => (value === null ? "-" : showValue(field, value)));
  return noteForeign(`${field}: ${values.join(" → ")}`, `${field}${values.join("")}`);
}

function showValue(field: string, value: string): string {
  if (field.endsWith(" scopes")) return wordList(value.split(" ").filter((scope) => scope !== ""));
  if (field.endsWith(" labels")) return wordPairs(JSON.parse(value) as Record<string, string>);
  return word(value);
}

function inForce({ approval, judgement }: ApprovalShowDocument, { requester }: Plan): Cell {
  if (judgement === null) return "not judged: no --trust-dir";
  const { approvers, quorum, short } = judgement;
  const count = `${approvers.length} of ${quorum} approvals hold`;
  switch (short) {
    case null:
      return {
        text: `yes: ${count} (${approvers.map((name) => noteForeign(name)).join(", ")})`,
        tone: "good",
      };
    case "quorum":
      return `not yet: ${count}`;
    case "database":
      return { text: "no: the policy names other databases", tone: "bad" };
    case "request_unsigned":
      return { text: "no: the request is not signed", tone: "bad" };
    case "break_glass":
      return { text: `no: the policy lets ${noteForeign(requester)} not break the glass`, tone: "bad" };
    default: {
      const stands = approval.done === 0 ? "" : `; the ${countLines(approval.done)} carried out before stand`;
      return { text: `no: ${short}${stands}`, tone: "bad" };
    }
  }
}
