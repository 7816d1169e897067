import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createRandom } from "../random.ts";
import { Ground } from "./ground.ts";
import type { History } from "./history.ts";
import { judgeCalm, judgeHistory, type Probe, type Violation } from "./judge.ts";
import { Links } from "./links.ts";
import { Operators } from "./operators.ts";
import { Roster } from "./roster.ts";
import { Saboteur } from "./saboteur.ts";
import { Team } from "./team.ts";

export interface CampaignOptions {
  /** Authentications to be recorded while everything happens. */
  readonly count: number;
  readonly seed: number;
  /** How long that is to take: the verifiers go at such a pace. */
  readonly seconds: number;
  readonly brokenCache: boolean;
  /** The launcher, built. */
  readonly program: string;
  /** Bundles of `verifier.ts` and `link.ts`. */
  readonly verifier: string;
  readonly link: string;
}

const VERIFIERS = 4;
const IDENTITIES = 24;
/** Milliseconds until verifiers that nobody disturbs any more must answer, whatever they were through. */
const RECOVERY = 20_000;
/** A campaign this much slower than planned, and a minute, has no end. */
const TOO_SLOW = 10;

/** Everything that is set up, played and taken down together. */
export class Campaign {
  readonly options: CampaignOptions;
  readonly ground: Ground;
  readonly operators: Operators;
  readonly saboteur: Saboteur;
  readonly violations: Violation[] = [];
  readonly #crashes: string[] = [];
  readonly #roster = new Roster(IDENTITIES);
  readonly #links: Links;
  readonly #team: Team;
  #interrupted = false;

  private constructor(options: CampaignOptions, ground: Ground, links: Links) {
    this.options = options;
    this.ground = ground;
    this.#links = links;
    const rate = options.count / options.seconds / VERIFIERS;
    const settings = (seat: number) => ({
      url: ground.urlAt(links.ports[seat] ?? 0),
      epoch: String(ground.epoch),
      rate,
      seed: options.seed,
      brokenCache: options.brokenCache,
    });
    this.#team = new Team(options.verifier, ground.directory, settings, (what) => this.#crashes.push(what));
    this.operators = new Operators(ground, this.#team, this.#roster, options.seed);
    this.saboteur = new Saboteur(this.#team, links, ground.now, createRandom(options.seed, 200));
  }

  static async open(options: CampaignOptions): Promise<Campaign> {
    const ground = await Ground.open(options.program);
    const links = await Links.open(options.link, { socket: ground.socket, links: VERIFIERS });
    return new Campaign(options, ground, links);
  }

  get history(): History {
    return {
      identities: this.#roster.identities,
      credentials: this.#roster.credentials,
      actions: this.operators.actions,
      authentications: { [Symbol.iterator]: () => this.#team.read() },
    };
  }

  /** Ends the campaign soon; `play` then throws. */
  interrupt(): void {
    this.#interrupted = true;
  }

  /** Plays until all authentications are recorded, lets everything become calm, and judges. */
  async play(): Promise<void> {
    await this.#team.start(VERIFIERS);
    await this.operators.prepare();
    this.#team.run();
    const work = Promise.all([this.operators.work(), this.saboteur.work()]);
    try {
      await Promise.race([this.#countUp(), work]);
    } finally {
      this.operators.stop();
      this.saboteur.stop();
    }
    await work;
    this.#team.rest();
    await this.#probe();
    this.#team.leave();
    this.violations.push(...judgeHistory(this.history), ...this.#listFailures());
  }

  /** Ends every process and takes everything away; what was recorded stays where something was found. */
  async leave(): Promise<void> {
    this.#team.leave();
    this.#links.close();
    const keep = this.violations.length > 0;
    if (keep) {
      const { credentials, actions } = this.history;
      const told = { credentials, actions, disturbances: this.saboteur.disturbances };
      writeFileSync(join(this.ground.directory, "history.json"), JSON.stringify(told, null, 1));
    }
    await this.ground.close(keep);
  }

  async #countUp(): Promise<void> {
    const { count, seconds } = this.options;
    const deadline = performance.now() + seconds * 1000 * TOO_SLOW + 60_000;
    for (let recorded = 0; recorded < count; recorded = this.#team.count()) {
      if (this.#interrupted) throw new Error(`interrupted after ${recorded} authentications`);
      if (performance.now() > deadline) throw new Error(`only ${recorded} authentications in all that time`);
      await delay(50);
    }
  }

  /** Every verifier answers for every credential; those whose status changed by the clock meanwhile do not count. */
  async #probe(): Promise<void> {
    const deadline = performance.now() + RECOVERY;
    for (;;) {
      const before = await this.#readStatuses();
      const probes: Probe[] = (await this.#team.probe()).flatMap((outcomes, verifier) =>
        outcomes.map(([credential, outcome]) => ({ verifier, credential, outcome })),
      );
      const after = await this.#readStatuses();
      const steady = new Map(
        [...before].filter(([id, status]) => settled(status) === settled(after.get(id))),
      );
      const violations = [...judgeCalm(this.#roster.credentials, steady, probes)];
      if (violations.length === 0 || performance.now() > deadline) {
        this.violations.push(...violations);
        return;
      }
      await delay(250);
    }
  }

  /** Effective status by public id, by what an operator would call. */
  async #readStatuses(): Promise<Map<string, string>> {
    const { credentials } = (await this.ground.expect(["list", "credentials", "--all", "--json"])) as {
      credentials: { id: string; effectiveStatus: string }[];
    };
    return new Map(credentials.map(({ id, effectiveStatus }) => [id.slice(3), effectiveStatus]));
  }

  *#listFailures(): Generator<Violation> {
    for (const what of this.#crashes) yield { kind: "broken answer", what };
    for (const what of this.operators.failures) yield { kind: "failed action", what };
  }
}

/** A pending credential is activated by the probe itself. */
function settled(status: string | undefined): string | undefined {
  return status === "pending" ? "active" : status;
}
