import { randomBytes } from "node:crypto";
import { createToken } from "../../../src/domain/token.ts";
import { type Authenticator, createAuthenticator, type Decision, openPostgres } from "../../../src/index.ts";
import { createRandom } from "../random.ts";
import { keepAcceptances } from "./broken-cache.ts";
import { createClock, OUTCOMES, type Outcome } from "./history.ts";
import type { TokenLine, VerifierOrder, VerifierReport, VerifierSettings } from "./orders.ts";
import { Recorder } from "./records.ts";

/** Milliseconds between two bursts. */
const TICK = 4;
/** What a verifier has under way at most: a resource server under load. */
const IN_FLIGHT = 48;
/** Tokens that count as hot or new. */
const HOT = 24;
const NEW = 64;
/** Shares of uses: of what is being changed, of what is new, of everything there ever was; and of made-up secrets. */
const SHARE = { hot: 0.6, new: 0.25, forged: 0.02 };

interface Known extends TokenLine {
  /** The same public id with another secret. */
  readonly forgery: string;
}

/** A resource server of the campaign: authenticates as often as it is told to and records what comes of it. */
class Verifier {
  readonly #authenticate: Authenticator["authenticate"];
  readonly #recorder: Recorder;
  readonly #now: () => number;
  readonly #random;
  readonly #rate: number;
  readonly #known = new Map<number, Known>();
  #all: Known[] = [];
  #hot: Known[] = [];
  #inFlight = 0;
  #running = false;
  #due = 0;
  #ticked = performance.now();

  constructor(settings: VerifierSettings) {
    const db = openPostgres({ url: settings.url }, { max: 6, applicationName: "campaign verifier" });
    const authenticator = createAuthenticator({ db });
    const authenticate: Authenticator["authenticate"] = (token) => authenticator.authenticate(token);
    this.#authenticate = settings.brokenCache ? keepAcceptances(authenticate) : authenticate;
    this.#recorder = new Recorder(settings.records);
    this.#now = createClock(BigInt(settings.epoch));
    this.#random = createRandom(settings.seed, settings.verifier);
    this.#rate = settings.rate;
    setInterval(() => this.#tick(), TICK);
  }

  async obey(order: VerifierOrder): Promise<void> {
    switch (order.order) {
      case "tokens":
        for (const line of order.tokens) {
          const known = { ...line, forgery: forge(line.token) };
          this.#known.set(line.credential, known);
          this.#all.push(known);
        }
        return;
      case "hot": {
        const named = order.credentials.map((credential) => this.#known.get(credential));
        this.#hot = [...named.filter((known) => known !== undefined), ...this.#hot].slice(0, HOT);
        return;
      }
      case "run":
      case "rest":
        this.#running = order.order === "run";
        return;
      case "probe":
        report({ report: "probed", outcomes: await this.#probe() });
    }
  }

  #tick(): void {
    const now = performance.now();
    // Whoever was stopped or had nothing answered does not make up for all of it at once.
    this.#due = Math.min(this.#due + ((now - this.#ticked) / 1000) * this.#rate, IN_FLIGHT);
    this.#ticked = now;
    if (!this.#running || this.#all.length === 0) return;
    for (; this.#due >= 1 && this.#inFlight < IN_FLIGHT; this.#due -= 1) {
      void this.#use(this.#choose(), this.#random.chance(SHARE.forged));
    }
  }

  #choose(): Known {
    const draw = this.#random.unit();
    if (draw < SHARE.hot && this.#hot.length > 0) return this.#random.pick(this.#hot);
    if (draw < SHARE.hot + SHARE.new) return this.#random.pick(this.#all.slice(-NEW));
    return this.#random.pick(this.#all);
  }

  async #use(known: Known, forged: boolean): Promise<Outcome> {
    this.#inFlight += 1;
    const token = forged ? known.forgery : known.token;
    const start = this.#now();
    let outcome: Outcome;
    try {
      outcome = judgeDecision(await this.#authenticate(token), known);
    } catch {
      outcome = "threw";
    }
    this.#recorder.note(known.credential, forged, start, this.#now(), outcome);
    this.#inFlight -= 1;
    return outcome;
  }

  async #probe(): Promise<[number, Outcome][]> {
    const outcomes: [number, Outcome][] = [];
    // As many at once as in its ordinary work: coalesced lookups and full queues are part of what is probed.
    for (let at = 0; at < this.#all.length; at += IN_FLIGHT) {
      const probed = this.#all.slice(at, at + IN_FLIGHT).map(async (known) => {
        outcomes.push([known.credential, await this.#use(known, false)]);
      });
      await Promise.all(probed);
    }
    return outcomes;
  }
}

function judgeDecision(decision: Decision, { slug, token }: Known): Outcome {
  if (!decision.ok) return OUTCOMES.find((outcome) => outcome === decision.code) ?? "other";
  const own = decision.actor.slug === slug && decision.credential?.id === `mc_${token.slice(9, 21)}`;
  return own ? "accepted" : "misattributed";
}

/** A well-formed token of the same public id with another secret: the id is drawn from bytes that make it. */
function forge(token: string): string {
  const id = Uint8Array.from([...token.slice(9, 21)], (digit) => BASE62.indexOf(digit));
  const drawn = (bytes: number) => Buffer.concat([id, Buffer.alloc(bytes - id.length)]);
  return createToken("test", (bytes) => (bytes === 16 ? drawn(bytes) : randomBytes(bytes))).text;
}

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

function report(message: VerifierReport): void {
  process.send?.(message);
}

const verifier = new Verifier(JSON.parse(process.argv[2] ?? "") as VerifierSettings);
process.on("message", (order: VerifierOrder) => void verifier.obey(order));
process.on("disconnect", () => process.exit());
report({ report: "ready" });
