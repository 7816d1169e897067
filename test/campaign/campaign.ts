import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { parseToken } from "../../src/domain/token.ts";
import { isAcknowledged, parseDocument, parseError, receivedTokens } from "./answer.ts";
import { Clock } from "./clock.ts";
import { type Moment, type Result, runCommand } from "./command.ts";
import type { CampaignOptions } from "./crash.ts";
import { Fleet, type IdentityState, isSame, readFleet, tell } from "./fleet.ts";
import { Ground } from "./ground.ts";
import { judgeDatabase, LogJudge, readTokenFiles } from "./judge.ts";
import { createRandom, type Random } from "./random.ts";
import { chooseStep, type Step } from "./steps.ts";
import { Tally, type ViolationKind } from "./tally.ts";

const SLOTS = 6;
/** Commands that run when the server is killed. */
const CROWD = 3;
/** A campaign that finds so much goes no further. */
const ENOUGH = 20;

/** What became of a step: nothing, all of it, or something else. */
type Outcome = "before" | "after" | "between";

/** Kills commands and servers, and holds what is there afterwards against what was acknowledged. */
export class Campaign {
  readonly tally = new Tally();
  readonly fleet = new Fleet(SLOTS);
  readonly #ground: Ground;
  readonly #clock = new Clock();
  readonly #log = new LogJudge();
  readonly #options: CampaignOptions;
  readonly #say: (line: string) => void;
  #interrupted = false;

  constructor(options: CampaignOptions, say: (line: string) => void) {
    this.#options = options;
    this.#say = say;
    this.#ground = new Ground(options.program);
  }

  get directory(): string {
    return this.#ground.directory;
  }

  get entries(): number {
    return this.#log.checked;
  }

  /** Ends the campaign with the round that is being played; `play` then throws. */
  interrupt(): void {
    this.#interrupted = true;
  }

  /** Makes the store, and measures commands that nobody kills: one by one, then in crowds. */
  async warmUp(): Promise<void> {
    await this.#ground.recover();
    for (let round = 0; round < SLOTS; round++) await this.#playQuietly([round % SLOTS], -1 - round);
    for (let round = 0; round < 3; round++) {
      const slots = Array.from({ length: CROWD }, (_, place) => (round * CROWD + place) % SLOTS);
      await this.#playQuietly(slots, -1 - SLOTS - round);
    }
  }

  /** Plays until the kills asked for have hit; returns how many rounds that took. */
  async play(): Promise<number> {
    const { count, serverKills, seed } = this.#options;
    const { kills, server } = this.tally;
    let round = 0;
    for (;;) {
      const hit = kills.before + kills.after;
      const killed = server.whole + server.postmaster;
      if ((hit >= count && killed >= serverKills) || this.tally.violations.length >= ENOUGH) return round;
      if (this.#interrupted) throw new Error(`interrupted after round ${round}`);
      if (round > (count + serverKills + 20) * 5)
        throw new Error(`after ${round} rounds too many kills came too late`);
      round += 1;
      const random = createRandom(seed, round);
      const turn =
        hit >= count || (killed < serverKills && hit >= ((killed + 1) * count) / (serverKills + 1));
      if (turn) await this.#playServerRound(round, random);
      else await this.#playCommandRound(round, random);
      if (round % 50 === 0) this.#report(round);
    }
  }

  /** Everything there is against everything that is known. */
  async judgeAll(round: number): Promise<void> {
    this.#log.restart();
    await this.#judge(round);
    const there = await readFleet(this.#ground.sql);
    for (const [slug, known] of this.fleet.known) {
      const state = there.get(slug) ?? null;
      if (!isSame(state, known, known)) {
        this.#violate(round, "lost", `${slug} was ${tell(known)} and is ${tell(state)}`);
      }
      there.delete(slug);
    }
    for (const slug of there.keys()) this.#violate(round, "half-made", `nobody asked for ${slug}`);
  }

  async leave(): Promise<void> {
    await this.#ground.leave(this.tally.violations.length > 0);
  }

  async #playCommandRound(round: number, random: Random): Promise<void> {
    const ground = this.#ground;
    const slot = random.below(SLOTS);
    const step = chooseStep(random, this.fleet, slot, ground.tokens, round);
    const cold = random.chance(0.03);
    const moment = this.#chooseMoment(random, step, cold);
    if (cold) {
      await ground.disconnect();
      await runCommand(ground, { args: ["db", "stop"] });
    }
    const prior = this.#stateOf(step);
    const result = await runCommand(ground, step, moment);
    if (cold) await ground.recover();
    await ground.settle();
    const outcome = await this.#resolve(round, step, prior, result);
    if (result.killed) {
      this.tally.kill(step.verb, moment.kind, outcome === "before" ? "before" : "after");
      if (cold) this.tally.cold += 1;
    } else {
      this.tally.kills.missed += 1;
      if (!cold) this.#clock.note(step.verb, result.ms);
      if (result.code !== 0)
        this.#violate(round, "exit", `${told(step)} exited ${result.code}: ${result.stderr}`);
    }
    await this.#judge(round);
    await this.#finish(round, step, result, outcome);
  }

  async #playServerRound(round: number, random: Random): Promise<void> {
    const ground = this.#ground;
    const slots = Array.from({ length: SLOTS }, (_, slot) => slot);
    const steps = Array.from({ length: CROWD }, () => {
      const [slot = 0] = slots.splice(random.below(slots.length), 1);
      return chooseStep(random, this.fleet, slot, ground.tokens, round);
    });
    const whole = random.chance(0.7);
    // Its first quarter a command spends on starting, without the server.
    const moment = (0.25 + random.unit() * 0.85) * this.#clock.median(CROWDED, 500);
    await ground.disconnect();
    let running = steps.length;
    const runs = steps.map(async (step) => {
      const result = await runCommand(ground, step);
      running -= 1;
      return { step, prior: this.#stateOf(step), result };
    });
    await delay(moment);
    const caught = running;
    ground.killServer(whole);
    const ran = await Promise.all(runs);
    await ground.recover();
    await ground.settle();
    this.#log.restart();
    if (caught === 0) for (const { result } of ran) this.#clock.note(CROWDED, result.ms);
    else this.tally.server[whole ? "whole" : "postmaster"] += 1;
    const resolved = [];
    for (const { step, prior, result } of ran) {
      const outcome = await this.#resolve(round, step, prior, result);
      resolved.push({ step, result, outcome });
      this.#judgeAnswer(round, step, result, outcome, caught > 0);
    }
    // All of it: what was acknowledged long ago must have survived this, too.
    await this.judgeAll(round);
    for (const { step, result, outcome } of resolved) await this.#finish(round, step, result, outcome);
  }

  /** A command whose server died says that it did it, that it did not, or that it does not know; and that is true. */
  #judgeAnswer(round: number, step: Step, result: Result, outcome: Outcome, counted: boolean): void {
    const { server } = this.tally;
    const error = parseError(result);
    const unknown = error?.details.commit === "unknown" || result.stderr.includes("it is unknown whether");
    if (counted) server[result.code === 0 ? "acknowledged" : unknown ? "unknown" : "refused"] += 1;
    if (result.code !== 0 && result.code !== 7) {
      this.#violate(
        round,
        "exit",
        `${told(step)} exited ${result.code} when the server died: ${result.stderr}`,
      );
    } else if (result.code === 7 && !unknown && outcome !== "before") {
      this.#violate(round, "exit", `${told(step)} was done, and said that it was not: ${result.stderr}`);
    }
  }

  /** Commands that nobody kills; they have to do what they are to do. */
  async #playQuietly(slots: readonly number[], round: number): Promise<void> {
    const random = createRandom(this.#options.seed, round);
    const runs = slots.map(async (slot) => {
      const step = chooseStep(random, this.fleet, slot, this.#ground.tokens, round);
      const prior = this.#stateOf(step);
      return { step, prior, result: await runCommand(this.#ground, step) };
    });
    for (const { step, prior, result } of await Promise.all(runs)) {
      this.#clock.note(slots.length === 1 ? step.verb : CROWDED, result.ms);
      const outcome = await this.#resolve(0, step, prior, result);
      if (result.code !== 0 || outcome !== "after") {
        this.#violate(
          0,
          "exit",
          `${told(step)} exited ${result.code}, nobody disturbing it: ${result.stderr}`,
        );
      }
    }
  }

  /** Takes in what a command left behind: secrets received, the state there is, and whether that may be. */
  async #resolve(round: number, step: Step, prior: IdentityState | null, result: Result): Promise<Outcome> {
    this.#receive(round, step, result);
    const there = (await readFleet(this.#ground.sql, step.slug)).get(step.slug) ?? null;
    const outcome = isSame(there, step.after, prior)
      ? "after"
      : isSame(there, prior, prior)
        ? "before"
        : "between";
    this.fleet.settle(step.slot, there);
    if (outcome === "between") {
      this.#violate(round, "half-made", `${told(step)} made ${tell(there)} of ${tell(prior)}`);
    }
    if (!isAcknowledged(step, result)) return outcome;
    this.tally.acknowledged += 1;
    if (outcome === "before") this.#violate(round, "lost", `${told(step)} was acknowledged and is not there`);
    return outcome;
  }

  /** After a kill: the old credential works, and the command, given again, does what it was to do. */
  async #finish(round: number, step: Step, result: Result, outcome: Outcome): Promise<void> {
    if (isAcknowledged(step, result) || outcome === "between") return;
    await this.#verifyPredecessor(round, step);
    this.tally.retries.tried += 1;
    const failure = await this.#retry(round, step, outcome);
    if (failure === null) this.tally.retries.converged += 1;
    else this.#violate(round, "retry", `${told(step)}, given again: ${failure}`);
  }

  /** Null where the retry converged, else what went wrong. */
  async #retry(round: number, step: Step, outcome: Outcome): Promise<string | null> {
    const invocation = { ...step, args: step.args.includes("--json") ? step.args : [...step.args, "--json"] };
    let result = await runCommand(this.#ground, invocation);
    const replaces = step.args.includes("--replace-pending") || step.args.includes("--compromised");
    if (step.delivery !== null && step.delivery !== "file" && outcome === "after" && !replaces) {
      // The secret is lost with the command that was killed: what is pending has to be replaced on purpose.
      const error = parseError(result);
      if (result.code !== 5 || typeof error?.details.pending !== "string") {
        return `exit ${result.code} instead of the conflict that names the pending one: ${result.stderr}`;
      }
      result = await runCommand(this.#ground, {
        ...invocation,
        args: [...invocation.args, "--replace-pending"],
      });
    }
    this.#receive(round, { ...step, delivery: step.delivery === null ? null : "json" }, result);
    if (result.code !== 0) return `exit ${result.code}: ${result.stderr}`;
    this.tally.acknowledged += 1;
    const there = (await readFleet(this.#ground.sql, step.slug)).get(step.slug) ?? null;
    const before = this.fleet.known.get(step.slug) ?? null;
    this.fleet.settle(step.slot, there);
    if (step.name === null) return isSame(there, step.after, step.after) ? null : `it came to ${tell(there)}`;
    return this.#judgeReissued(step, result, outcome, before, there);
  }

  /** Exactly one pending credential of the name, and it is the one that we hold the secret of. */
  #judgeReissued(
    step: Step,
    result: Result,
    outcome: Outcome,
    before: IdentityState | null,
    there: IdentityState | null,
  ): string | null {
    const pending = there?.credentials.filter(
      ({ name, status }) => name === step.name && status === "pending",
    );
    const [only] = pending ?? [];
    if (pending?.length !== 1 || !this.fleet.holds(only)) return `it came to ${tell(there)}`;
    if (step.tokenFile === null) return null;
    if (parseToken(readFileSync(step.tokenFile, "latin1").trimEnd())?.publicId !== only?.id) {
      return "the token file holds another credential's token";
    }
    const { created } = parseDocument(result) ?? {};
    if (created !== (outcome === "before"))
      return `it says created:${created} after a kill ${outcome} the commit`;
    return outcome === "before" || tell(there) === tell(before)
      ? null
      : `it changed ${tell(before)} to ${tell(there)}`;
  }

  async #verifyPredecessor(round: number, { predecessor, ...step }: Step): Promise<void> {
    const token = predecessor?.id == null ? undefined : this.fleet.tokens.get(predecessor.id);
    if (token === undefined) return;
    this.tally.lostRotations.tried += 1;
    const { code, stdout } = await runCommand(this.#ground, { args: ["verify", "--json"], stdin: token });
    if (code === 0) this.tally.lostRotations.working += 1;
    else this.#violate(round, "rotation", `mc_${predecessor?.id} of ${step.slug} no longer works: ${stdout}`);
  }

  #receive(round: number, step: Step, result: Result): void {
    for (const token of receivedTokens(step, result)) this.fleet.receive(token);
    const files = readTokenFiles(this.#ground.tokens);
    for (const token of files.tokens) this.fleet.receive(token);
    for (const wrong of files.wrong) this.#violate(round, "half-made", wrong);
  }

  async #judge(round: number): Promise<void> {
    const { unreceived, halfMade } = await judgeDatabase(this.#ground.sql, this.fleet.tokens);
    for (const what of unreceived) this.#violate(round, "unreceived", what);
    for (const what of [...halfMade, ...(await this.#log.judge(this.#ground.sql))]) {
      this.#violate(round, "half-made", what);
    }
  }

  /** Half the kills anywhere in the command, the others where it matters: at the token file, the commit, the output. */
  #chooseMoment(random: Random, step: Step, cold: boolean): Moment {
    const usual = this.#clock.median(step.verb, 150);
    const after = random.unit() * usual * (cold ? 3 : 1.1);
    if (cold || random.chance(0.5)) return { kind: "time", after };
    if (step.tokenFile !== null && random.chance(0.5))
      return { kind: "file", after: random.unit() * usual * 0.2 };
    if (step.tokenFile === null && random.chance(0.3)) return { kind: "output", after: 0 };
    return { kind: "commit", after: random.chance(0.5) ? 0 : random.unit() * usual * 0.1 };
  }

  #stateOf(step: Step): IdentityState | null {
    return this.fleet.known.get(step.slug) ?? null;
  }

  #violate(round: number, kind: ViolationKind, what: string): void {
    const violation = this.tally.violate(round, kind, what.trim());
    if (violation !== null) this.#say(`VIOLATION (${kind}) in round ${round}: ${violation.what}`);
  }

  #report(round: number): void {
    const { kills, server, violations, retries } = this.tally;
    this.#say(
      `round ${round}: ${kills.before + kills.after} command kills (${kills.after} after the commit), ${server.whole + server.postmaster} server kills, ${retries.converged} retries converged, ${violations.length} violations`,
    );
  }
}

const CROWDED = "crowd";

function told(step: Step): string {
  return `midctl ${step.args.join(" ")}`;
}
