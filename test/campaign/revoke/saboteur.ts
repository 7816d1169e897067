import { setTimeout as delay } from "node:timers/promises";
import type { Random } from "../random.ts";
import type { Instant } from "./history.ts";
import type { Links } from "./links.ts";
import type { Team } from "./team.ts";

/**
 * `kill`: SIGKILL of a verifier, and a new one in its seat. `stop`: SIGSTOP, and later SIGCONT. `cut`: its connections
 * reset and no new ones for a while. `stall`: its link passes nothing on, and later everything, or is cut. `vanish`: a
 * stall during which it is killed, so that the server hears nothing of its end, as when a machine loses power.
 */
export const DISTURBANCES = ["kill", "stop", "cut", "stall", "vanish"] as const;

export interface Disturbance {
  readonly kind: (typeof DISTURBANCES)[number];
  readonly seat: number;
  readonly begin: Instant;
  readonly end: Instant;
}

/** Longest duration, and longest quiet between two disturbances, ms. */
const LONGEST = 5_000;
const QUIET = 2_500;

/** Kills and stops verifiers and breaks their links, one or two at a time. */
export class Saboteur {
  readonly disturbances: Disturbance[] = [];
  readonly #team: Team;
  readonly #links: Links;
  readonly #now: () => Instant;
  readonly #random: Random;
  readonly #stopped = new AbortController();
  #plan: Disturbance["kind"][] = [];

  constructor(team: Team, links: Links, now: () => Instant, random: Random) {
    this.#team = team;
    this.#links = links;
    this.#now = now;
    this.#random = random;
  }

  /** Disturbs until `stop`; resolves when everything has been mended. */
  async work(): Promise<void> {
    const random = this.#random;
    while (!this.#stopped.signal.aborted) {
      await this.#wait(300 + random.unit() * QUIET);
      if (this.#stopped.signal.aborted) return;
      const seats = Array.from({ length: this.#team.seats }, (_, seat) => seat);
      const [seat = 0] = seats.splice(random.below(seats.length), 1);
      const work = [this.#disturb(seat)];
      if (random.chance(0.25)) work.push(this.#disturb(random.pick(seats)));
      await Promise.all(work);
    }
  }

  stop(): void {
    this.#stopped.abort();
  }

  async #disturb(seat: number): Promise<void> {
    const kind = this.#next();
    const begin = this.#now();
    // Mostly short, so that both what a lease outlasts and what outlasts a lease come to pass.
    const ms = LONGEST * this.#random.unit() ** 1.5;
    if (kind === "kill") this.#team.kill(seat);
    else if (kind === "stop") {
      this.#team.stop(seat);
      await this.#wait(ms);
      this.#team.wake(seat);
    } else {
      this.#links.tell({ order: kind === "cut" ? "cut" : "stall", link: seat });
      if (kind === "vanish") this.#team.kill(seat);
      await this.#wait(kind === "cut" && this.#random.chance(0.5) ? 0 : ms);
      if (kind === "stall" && this.#random.chance(0.4)) this.#links.tell({ order: "cut", link: seat });
      this.#links.tell({ order: "mend", link: seat });
    }
    this.disturbances.push({ kind, seat, begin, end: this.#now() });
  }

  /** Each kind once in every five, in an order that chance decides. */
  #next(): Disturbance["kind"] {
    if (this.#plan.length === 0) this.#plan = [...DISTURBANCES];
    const [kind = "kill"] = this.#plan.splice(this.#random.below(this.#plan.length), 1);
    return kind;
  }

  async #wait(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#stopped.signal }).catch(() => undefined);
  }
}
