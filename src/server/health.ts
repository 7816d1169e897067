/** What monitoring and load balancers ask. Anybody may ask it, so nobody can make it cost more than it is worth. */
import type { Tx } from "../db/database.ts";
import type { AuthenticatorCounters } from "../operations/authenticate.ts";
import { within } from "../operations/patience.ts";
import { type Readiness, readCounts, readReadiness, type Tally } from "../operations/readiness.ts";
import type { HeadStanding } from "../operations/verifier/heads.ts";
import { answerJson, type RequestContext, type Services } from "./exchange.ts";

/** How long an answer of the database is given to those who ask again, ms. */
const READY_FOR = 1_000;
const COUNTS_FOR = 60_000;
/** How long the database is waited for, ms: a load balancer has less patience. */
const PATIENCE = 2_000;

export class Health {
  readonly readiness: () => Promise<Readiness>;
  /** How the log stands to the head that is kept, as of a second ago; null where none is, `unknown` where nobody can tell. */
  readonly head: () => Promise<HeadStanding | null | "unknown">;
  /** null where the database could not be asked in time. */
  readonly counts: () => Promise<Tally | null>;
  #stopping = false;

  /** @param now wall clock, ms */
  constructor(
    db: Tx,
    now: () => number,
    verifier: { check(): Promise<void>; readonly counters: Pick<AuthenticatorCounters, "head"> },
  ) {
    this.readiness = shared<Readiness>(READY_FOR, now, "unavailable", () => readReadiness(db));
    // Looked at here too: who is not ready is asked nothing else, and is to find out that it is again.
    this.head = shared<HeadStanding | null | "unknown">(READY_FOR, now, "unknown", async () => {
      const isSound = await verifier.check().then(
        () => true,
        () => false,
      );
      const { head } = verifier.counters;
      return isSound || head?.kind !== "good" ? head : "unknown";
    });
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
 * Tokens can be decided on here: the database answers, is no standby, goes on from the head that is kept, the trust root that is
 * asked for is understood, and the server is not ending.
 */
export async function answerReadiness(services: Services, c: RequestContext): Promise<Response> {
  c.env.route = "/readyz";
  const state = await stateOf(services);
  return state.reason === null
    ? answerJson({ ready: true })
    : answerJson({ ready: false, ...state }, 503, { "retry-after": "2" });
}

type State =
  | { readonly reason: null | Exclude<Readiness, "ready"> | "stopping" | "trust" | "head_store" }
  | {
      readonly reason: "behind_checkpoint";
      /** Entries that the log has, and that were seen. */
      readonly size: number;
      readonly kept: number;
      /** Whether there are other entries in the place of those. */
      readonly forked: boolean;
    };

async function stateOf({ health, authenticator }: Services): Promise<State> {
  if (health.stopping) return { reason: "stopping" };
  if (authenticator.counters.trusted === false) return { reason: "trust" };
  const readiness = await health.readiness();
  if (readiness !== "ready") return { reason: readiness };
  const head = await health.head();
  if (head === "unknown") return { reason: "unavailable" };
  if (head === null || head.kind === "good") return { reason: null };
  if (head.kind === "unkept") return { reason: "head_store" };
  const { size, kept, forked } = head;
  return { reason: "behind_checkpoint", size, kept, forked };
}

export async function answerMetrics(services: Services, c: RequestContext): Promise<Response> {
  c.env.route = "/metrics";
  const { health, metrics, authenticator } = services;
  const [state, counts] = await Promise.all([stateOf(services), health.counts()]);
  const ready = state.reason === null;
  return new Response(metrics.render({ ready, counts, verifier: authenticator.counters }), {
    headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8", "cache-control": "no-store" },
  });
}
