/** What monitoring and load balancers ask. Anybody may ask it, so nobody can make it cost more than it is worth. */
import type { Tx } from "../db/database.ts";
import { within } from "../operations/patience.ts";
import { type Readiness, readCounts, readReadiness, type Tally } from "../operations/readiness.ts";
import { answerJson, type RequestContext, type Services } from "./exchange.ts";

/** How long an answer of the database is given to those who ask again, ms. */
const READY_FOR = 1_000;
const COUNTS_FOR = 60_000;
/** How long the database is waited for, ms: a load balancer has less patience. */
const PATIENCE = 2_000;

export class Health {
  readonly readiness: () => Promise<Readiness>;
  /** null where the database could not be asked in time. */
  readonly counts: () => Promise<Tally | null>;
  #stopping = false;

  /** @param now wall clock, ms */
  constructor(db: Tx, now: () => number) {
    this.readiness = shared<Readiness>(READY_FOR, now, "unavailable", () => readReadiness(db));
    this.counts = shared<Tally | null>(COUNTS_FOR, now, null, () => readCounts(db).catch(() => null));
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** From here on the server is not ready, whatever the database says. */
  stop(): void {
    this.#stopping = true;
  }
}

/** One question under way at most, its answer given to all who ask within `keptFor`; `late` where it takes too long. */
function shared<T>(keptFor: number, now: () => number, late: T, ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined;
  let askedAt = 0;
  return () => {
    const age = now() - askedAt;
    if (answer === undefined || age >= keptFor || age < 0) {
      askedAt = now();
      answer = within(PATIENCE, ask(), () => late);
    }
    return answer;
  };
}

/** The process runs and answers. */
export function answerHealth(c: RequestContext): Response {
  c.env.route = "/healthz";
  return answerJson({ ok: true });
}

/**
 * Tokens can be decided on here: the database answers, is no standby, the trust root that is asked for is understood, and the
 * server is not ending.
 */
export async function answerReadiness(services: Services, c: RequestContext): Promise<Response> {
  c.env.route = "/readyz";
  const state = await stateOf(services);
  return state === "ready"
    ? answerJson({ ready: true })
    : answerJson({ ready: false, reason: state }, 503, { "retry-after": "2" });
}

async function stateOf({ health, authenticator }: Services): Promise<Readiness | "stopping" | "trust"> {
  if (health.stopping) return "stopping";
  return authenticator.counters.trusted === false ? "trust" : health.readiness();
}

export async function answerMetrics(services: Services, c: RequestContext): Promise<Response> {
  c.env.route = "/metrics";
  const { health, metrics, authenticator } = services;
  const [state, counts] = await Promise.all([stateOf(services), health.counts()]);
  const ready = state === "ready";
  return new Response(metrics.render({ ready, counts, verifier: authenticator.counters }), {
    headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8", "cache-control": "no-store" },
  });
}
