import type { Campaign } from "./campaign.ts";
import { type Action, MILLISECOND, type Outcome } from "./history.ts";
import type { Violation } from "./judge.ts";
import { DISTURBANCES, type Disturbance } from "./saboteur.ts";

/** How many violations of a kind are told in full. */
const TOLD = 5;
/** How long somebody may still be waited for after a disturbance, ms: whoever died holds a lease. */
const AFTERMATH: Readonly<Record<Disturbance["kind"], number>> = {
  kill: 3_500,
  vanish: 3_500,
  stop: 250,
  cut: 250,
  stall: 250,
};

/** What a campaign came to, line by line. */
export function* describe(campaign: Campaign, seconds: number): Generator<string> {
  const { count, seed } = campaign.options;
  const { actions } = campaign.operators;
  const { disturbances } = campaign.saboteur;
  const { credentials, identities } = campaign.history;
  const outcomes = countBy(campaign.history.authentications, ({ outcome, forged }) =>
    forged ? `forged ${outcome}` : outcome,
  );
  const all = sum(outcomes.values());
  const answered = (outcome: Outcome) => outcomes.get(outcome) ?? 0;
  const refused = [...outcomes].filter(([outcome]) => outcome !== "accepted" && outcome !== "unavailable");
  yield `campaign:revoke --count ${count} --seed ${seed}: ${seconds.toFixed(0)} s`;
  yield `authentications  ${all}: ${answered("accepted")} accepted, ${sum(refused.map(([, times]) => times))} refused, ${answered("unavailable")} unavailable`;
  yield `  refusals       ${list(refused)}`;
  yield `tokens           ${credentials.length} of ${identities.size} identities`;
  yield `actions          ${actions.length}: ${list(countBy(actions, ({ kind, by, outcome }) => `${kind} by ${by}${outcome === "done" ? "" : ` ${outcome}`}`))}`;
  const kinds = countBy(disturbances, ({ kind }) => kind);
  yield `disturbances     ${disturbances.length}: ${DISTURBANCES.map((kind) => `${kind} ${kinds.get(kind) ?? 0}`).join(", ")}`;
  yield* describeLetGo(actions, disturbances);
  yield* describeViolations(campaign.violations, campaign.ground.directory);
}

/** Let-go as the answers tell it, and the whole of the call, for those that had to wait for somebody and the others. */
function* describeLetGo(actions: readonly Action[], disturbances: readonly Disturbance[]): Generator<string> {
  const waited = actions.filter(
    ({ kind, outcome, letGo }) => kind !== "rotate" && outcome === "done" && letGo !== null,
  );
  const ending = waited.filter(({ kind }) => kind !== "resume");
  const isDisturbed = (action: Action) =>
    (action.letGo?.expired ?? 0) > 0 ||
    disturbances.some(
      ({ kind, begin, end }) => begin < action.end && end + AFTERMATH[kind] * MILLISECOND > action.begin,
    );
  const groups = [
    ["healthy", ending.filter((action) => !isDisturbed(action))],
    ["disturbed", ending.filter(isDisturbed)],
  ] as const;
  for (const [name, group] of groups) {
    const told = group.map(({ letGo }) => letGo?.ms ?? 0);
    const calls = group
      .filter(({ by }) => by === "library")
      .map(({ begin, end }) => (end - begin) / MILLISECOND);
    const acknowledged = sum(group.map(({ letGo }) => letGo?.acknowledged ?? 0));
    const expired = sum(group.map(({ letGo }) => letGo?.expired ?? 0));
    yield `let go ${name.padEnd(10)}${group.length}: ${quantiles(told)}; whole calls ${quantiles(calls)}; ${acknowledged} acknowledged, ${expired} ran out`;
  }
}

function quantiles(values: readonly number[]): string {
  if (values.length === 0) return "none";
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) =>
    (sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0).toFixed(1);
  return `median ${at(0.5)}, p99 ${at(0.99)}, max ${at(1)} ms`;
}

function* describeViolations(violations: readonly Violation[], directory: string): Generator<string> {
  const kinds = countBy(violations, ({ kind }) => kind);
  yield `violations       ${violations.length}${violations.length === 0 ? "" : `: ${list(kinds)}`}`;
  for (const kind of kinds.keys()) {
    const ofKind = violations.filter((violation) => violation.kind === kind);
    for (const { what } of ofKind.slice(0, TOLD)) yield `  ${kind}: ${what}`;
  }
  yield violations.length === 0 ? "PASSED" : `FAILED: see ${directory}`;
}

function countBy<T>(items: Iterable<T>, key: (item: T) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + 1);
  return counts;
}

function list(counts: Iterable<readonly [string, number]>): string {
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  return sorted.map(([name, times]) => `${name} ${times}`).join(", ") || "none";
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
