import {
  type Action,
  type Authentication,
  type CredentialFact,
  type History,
  type Instant,
  MILLISECOND,
  type Outcome,
  type Target,
} from "./history.ts";

export type ViolationKind =
  /** Accepted, though it started after a pause, revocation, grace or expiry was over and done with. */
  | "after pause"
  | "after revoke"
  | "after grace"
  | "after expiry"
  /** Accepted with another secret than the one issued. */
  | "forged"
  /** Accepted as somebody else. */
  | "misattributed"
  /** `unknown` or `malformed` for a token that the database knows. */
  | "denied knowledge"
  /** `authenticate` threw, or gave a code that SPEC does not have; or the verifier crashed. */
  | "broken answer"
  /** An operator, whom nobody disturbed, was told something else than done or refused. */
  | "failed action"
  /** With everything calm: a good credential refused, an ended one accepted, or no answer. */
  | "calm";

export interface Violation {
  readonly kind: ViolationKind;
  readonly what: string;
}

/**
 * How much later than a moment that only the database's wall clock tells (grace, expiry) a use may start and still be
 * accepted: wall clock and monotonic clock drift apart while the wall clock is being corrected.
 */
const CLOCK_SLACK = 50 * MILLISECOND;

/** No use may be accepted that starts after `from` and is over before `until`. */
interface Closure {
  readonly kind: ViolationKind;
  readonly from: Instant;
  readonly until: Instant;
  /** The moment that ended it, and what did. */
  readonly since: Instant;
  readonly why: string;
}

/**
 * Finds every authentication that must not have come out as it did (SPEC §8: no request that starts after the command
 * exited 0 is accepted). Whatever overlaps may go either way: an authentication that started before the command ended or
 * was still under way when a resume began; a pause and a resume of the same target at once.
 */
export function* judgeHistory(history: History): Generator<Violation> {
  const closures = closeCredentials(history);
  for (const authentication of history.authentications) {
    const violation = judgeAuthentication(history, closures, authentication);
    if (violation !== null) yield violation;
  }
}

function judgeAuthentication(
  { credentials }: History,
  closures: readonly (readonly Closure[])[],
  authentication: Authentication,
): Violation | null {
  const { credential, outcome, start, end } = authentication;
  const fact = credentials[credential];
  if (fact === undefined) throw new Error(`nobody issued credential ${credential}`);
  const found = (kind: ViolationKind, what: string): Violation => ({
    kind,
    what: `${describe(authentication, fact)} ${what}`,
  });
  if (outcome === "threw" || outcome === "other") return found("broken answer", "got an answer that is none");
  if (outcome === "misattributed") return found("misattributed", "was accepted as somebody else");
  if (authentication.forged) {
    return outcome === "accepted" ? found("forged", "was accepted with a made-up secret") : null;
  }
  if (outcome === "unknown" || outcome === "malformed") {
    return start > fact.knownFrom ? found("denied knowledge", `was ${outcome} after its issuance`) : null;
  }
  if (outcome !== "accepted") return null;
  const closed = closures[credential]?.find(({ from, until }) => start > from && end < until);
  return closed === undefined ? null : found(closed.kind, `was accepted ${lateness(start, closed)}`);
}

function describe({ verifier, start }: Authentication, { id, identity }: CredentialFact): string {
  return `mc_${id} of ${identity} at verifier ${verifier}, started at ${milliseconds(start)},`;
}

function lateness(start: Instant, { since, why }: Closure): string {
  return `${milliseconds(start - since)} after ${why}`;
}

function milliseconds(time: number): string {
  return `${(time / MILLISECOND).toFixed(3)} ms`;
}

/** For each credential, when nothing that it starts may be accepted: by itself, its identity or an ancestor. */
function closeCredentials(history: History): Closure[][] {
  const byTarget = closeTargets(history.actions);
  const closures = history.credentials.map((fact, index) => {
    const targets: Target[] = [`credential ${index}`];
    for (let slug: string | null = fact.identity; slug !== null; ) {
      targets.push(`identity ${slug}`);
      slug = history.identities.get(slug) ?? null;
    }
    const closed = targets.flatMap((target) => byTarget.get(target) ?? []);
    if (fact.notAfter !== null) closed.push(closeForEver("after expiry", fact.notAfter, "its expiry"));
    return closed;
  });
  closeSuperseded(history, closures);
  return closures;
}

function closeForEver(kind: ViolationKind, since: Instant, why: string): Closure {
  return { kind, from: since + CLOCK_SLACK, until: Number.POSITIVE_INFINITY, since, why };
}

/** A predecessor ends its grace after its successor's first use, which was over when the first acceptance was told. */
function closeSuperseded({ credentials, authentications }: History, closures: Closure[][]): void {
  const firstUse = new Map<number, Instant>();
  for (const { credential, forged, outcome, end } of authentications) {
    if (outcome !== "accepted" || forged) continue;
    const earlier = firstUse.get(credential);
    if (earlier === undefined || end < earlier) firstUse.set(credential, end);
  }
  for (const [index, { replaces, id }] of credentials.entries()) {
    const used = firstUse.get(index);
    if (replaces === null || used === undefined) continue;
    const why = `its grace, which began with the first use of mc_${id}`;
    closures[replaces.credential]?.push(closeForEver("after grace", used + replaces.grace, why));
  }
}

function closeTargets(actions: readonly Action[]): Map<Target, Closure[]> {
  const resumes = new Map<Target, Action[]>();
  for (const action of actions) {
    if (action.kind !== "resume" || action.outcome === "refused") continue;
    for (const target of action.targets) append(resumes, target, action);
  }
  const closures = new Map<Target, Closure[]>();
  for (const action of actions) {
    if (action.outcome !== "done") continue;
    for (const target of action.targets) {
      const closure = close(action, resumes.get(target) ?? []);
      if (closure !== null) append(closures, target, closure);
    }
  }
  return closures;
}

function close(action: Action, resumes: readonly Action[]): Closure | null {
  const since = action.end;
  const why = `the end of ${action.kind} ${action.ref} (by ${action.by}) at ${milliseconds(action.end)}`;
  switch (action.kind) {
    case "resume":
      return null;
    case "pause": {
      // Which of two that overlap came last, nobody can tell from outside. One whose end is unknown may come any time.
      const overlaps = (resume: Action) =>
        resume.begin < action.end && (resume.outcome === "unknown" || resume.end > action.begin);
      if (resumes.some(overlaps)) return null;
      const later = resumes.map(({ begin }) => begin).filter((begin) => begin >= action.end);
      return { kind: "after pause", from: since, until: Math.min(...later), since, why };
    }
    default:
      return { kind: "after revoke", from: since, until: Number.POSITIVE_INFINITY, since, why };
  }
}

function append<Key, Value>(map: Map<Key, Value[]>, key: Key, value: Value): void {
  const there = map.get(key);
  if (there === undefined) map.set(key, [value]);
  else there.push(value);
}

/** One verifier's answer for one credential while nothing happens. */
export interface Probe {
  readonly verifier: number;
  readonly credential: number;
  readonly outcome: Outcome;
}

const GOOD = new Set(["active", "grace", "pending"]);

/**
 * With everything calm each verifier accepts what is good and refuses, with a reason of its own, what is not.
 * @param statuses effective status by public id, as the database has it; one that is missing is not judged
 */
export function* judgeCalm(
  credentials: readonly CredentialFact[],
  statuses: ReadonlyMap<string, string>,
  probes: Iterable<Probe>,
): Generator<Violation> {
  for (const { verifier, credential, outcome } of probes) {
    const id = credentials[credential]?.id ?? "";
    const status = statuses.get(id);
    if (status === undefined) continue;
    const good = GOOD.has(status);
    if (good ? outcome === "accepted" : outcome !== "accepted" && outcome !== "unavailable") continue;
    yield { kind: "calm", what: `mc_${id} is ${status}, and verifier ${verifier} says ${outcome}` };
  }
}
