/** Counts for Prometheus, in its text format (version 0.0.4). No slug, no id, no secret: whoever may scrape may see all. */

import type { AuthenticatorCounters } from "../operations/authenticate.ts";
import type { Tally } from "../operations/readiness.ts";

/** Upper bounds in seconds: a cached decision takes microseconds, one under failover seconds. */
const BUCKETS = [
  0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
] as const;

/** What is asked for at the time of a scrape. */
export interface Gauges {
  readonly ready: boolean;
  readonly verifier: AuthenticatorCounters;
  /** null where the database could not be asked. */
  readonly counts: Tally | null;
}

/** Of checkpoints that are made on schedule. */
export interface CheckpointState {
  /** How many entries the last one saw; null before the first. */
  readonly size: number | null;
  /** Whether the last attempt succeeded. */
  readonly ok: boolean;
}

export class Metrics {
  /**
   * Outcomes are as coarse as what a bearer sees: a finer count would tell whoever can scrape why a token was refused.
   */
  readonly #decisions = { accepted: 0, refused: 0, unavailable: 0 };
  readonly #buckets = new Array<number>(BUCKETS.length).fill(0);
  #seconds = 0;
  readonly #requests = new Map<string, number>();
  readonly #checkpoints: (() => CheckpointState) | null;

  /** @param checkpoints null where none are made */
  constructor(checkpoints: (() => CheckpointState) | null = null) {
    this.#checkpoints = checkpoints;
  }

  /** @param status of the answer: 200, 401 or 503 */
  decided(status: 200 | 401 | 503, milliseconds: number): void {
    const seconds = milliseconds / 1_000;
    this.#decisions[status === 200 ? "accepted" : status === 401 ? "refused" : "unavailable"] += 1;
    this.#seconds += seconds;
    const bucket = BUCKETS.findIndex((bound) => seconds <= bound);
    if (bucket >= 0) this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
  }

  /** @param route a path that the server has, or null */
  answered(route: string | null, status: number): void {
    const labels = `path="${route ?? "other"}",status="${status}"`;
    this.#requests.set(labels, (this.#requests.get(labels) ?? 0) + 1);
  }

  render(gauges: Gauges): string {
    const { accepted, refused, unavailable } = this.#decisions;
    const total = accepted + refused + unavailable;
    let below = 0;
    return [
      ...family("midctl_decisions_total", "counter", "Decisions on bearer tokens, by outcome.", [
        ['{outcome="accepted"}', accepted],
        ['{outcome="refused"}', refused],
        ['{outcome="unavailable"}', unavailable],
      ]),
      ...family("midctl_decision_duration_seconds", "histogram", "Time that decisions took.", [
        ...BUCKETS.map((bound, index): Sample => {
          below += this.#buckets[index] ?? 0;
          return [`_bucket{le="${bound}"}`, below];
        }),
        ['_bucket{le="+Inf"}', total],
        ["_sum", this.#seconds],
        ["_count", total],
      ]),
      ...family(
        "midctl_http_requests_total",
        "counter",
        "Requests answered, by path and status.",
        [...this.#requests].map(([labels, count]): Sample => [`{${labels}}`, count]),
      ),
      ...family("midctl_verifier_cached_total", "counter", "Decisions made without the database.", [
        ["", gauges.verifier.cached],
      ]),
      ...family("midctl_verifier_lookups_total", "counter", "Statements sent to decide.", [
        ["", gauges.verifier.lookups],
      ]),
      ...family("midctl_verifier_entries", "gauge", "Answers that are kept under the lease.", [
        ["", gauges.verifier.entries],
      ]),
      ...family("midctl_verifier_caching", "gauge", "1 where answers may be kept: a lease is in force.", [
        ["", gauges.verifier.caching ? 1 : 0],
      ]),
      ...byTrust(gauges.verifier),
      ...byHead(gauges.verifier),
      ...family("midctl_ready", "gauge", "1 where tokens can be decided on.", [["", gauges.ready ? 1 : 0]]),
      ...family(
        "midctl_identities",
        "gauge",
        "Machine identities, by effective status.",
        byStatus(gauges.counts?.identities),
      ),
      ...family(
        "midctl_credentials",
        "gauge",
        "Credentials, by effective status.",
        byStatus(gauges.counts?.credentials),
      ),
      ...family(
        "midctl_legacy_tokens",
        "gauge",
        "Tokens without a machine identity.",
        gauges.counts === null ? [] : [["", gauges.counts.legacyTokens]],
      ),
      ...family(
        "midctl_approvals_open",
        "gauge",
        "Requests that wait for an approval, or to be carried out.",
        only(gauges.counts?.approvals?.open),
      ),
      ...family(
        "midctl_break_glass_uncountersigned",
        "gauge",
        "Break-glass actions that nobody has countersigned.",
        only(gauges.counts?.approvals?.uncountersigned),
      ),
      ...byCheckpoints(this.#checkpoints?.() ?? null),
      ...family("process_resident_memory_bytes", "gauge", "Resident memory.", [
        ["", process.memoryUsage.rss()],
      ]),
    ].join("");
  }
}

/**
 * Of a verifier with a trust root. That a token was unapproved is told, for it means that somebody wrote to the database who
 * had no approval; whoever holds such a token knows as much.
 */
function byTrust({
  trusted,
  unapproved,
  plans,
  plansVerified,
  plansInsufficient,
}: AuthenticatorCounters): string[] {
  if (trusted === null) return [];
  return [
    ...family("midctl_trusted", "gauge", "1 where the trust root is understood.", [["", trusted ? 1 : 0]]),
    ...family(
      "midctl_unapproved_total",
      "counter",
      "Decisions on tokens that no signed plan in force names.",
      [["", unapproved]],
    ),
    ...family("midctl_plans_verified_total", "counter", "Plans found in force.", [["", plansVerified]]),
    ...family("midctl_plans_insufficient_total", "counter", "Plans found not to be in force.", [
      ["", plansInsufficient],
    ]),
    ...family("midctl_plans", "gauge", "Plans in force that are kept.", [["", plans]]),
  ];
}

function byCheckpoints(state: CheckpointState | null): string[] {
  if (state === null) return [];
  return [
    ...family(
      "midctl_checkpoint_ok",
      "gauge",
      "1 where the last attempt to make a checkpoint succeeded: 0 may mean that the log was rewritten.",
      [["", state.ok ? 1 : 0]],
    ),
    ...family(
      "midctl_checkpoint_entries",
      "gauge",
      "Entries that the last checkpoint saw.",
      only(state.size ?? undefined),
    ),
  ];
}

/** Of a verifier that keeps the head of the log. */
function byHead({ head }: AuthenticatorCounters): string[] {
  if (head === null) return [];
  const entries = head.kept === null ? [] : ([["", head.kept]] satisfies Sample[]);
  return [
    ...family(
      "midctl_verifier_behind_checkpoint",
      "gauge",
      "1 where the database does not go on from the head that was kept.",
      [["", head.kind === "behind" ? 1 : 0]],
    ),
    ...family("midctl_verifier_head_unkept", "gauge", "1 where the store of the log's head does not work.", [
      ["", head.kind === "unkept" ? 1 : 0],
    ]),
    ...family("midctl_verifier_head_entries", "gauge", "Entries of the log that were seen.", entries),
  ];
}

/** What follows the family's name, and the value. */
type Sample = readonly [string, number];

function only(value: number | undefined): Sample[] {
  return value === undefined ? [] : [["", value]];
}

function byStatus(counts: Readonly<Record<string, number>> = {}): Sample[] {
  return Object.entries(counts).map(([status, count]) => [`{status="${status}"}`, count]);
}

function family(name: string, type: string, help: string, samples: readonly Sample[]): string[] {
  if (samples.length === 0) return [];
  return [
    `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`,
    ...samples.map(([labels, value]) => `${name}${labels} ${value}\n`),
  ];
}
