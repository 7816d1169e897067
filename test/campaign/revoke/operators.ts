import { setTimeout as delay } from "node:timers/promises";
import { createRandom, type Random } from "../random.ts";
import type { Ground } from "./ground.ts";
import { CommandHand, type ControlVerb, type Ended, type Hand, type Issued, LibraryHand } from "./hands.ts";
import { type Action, type Instant, SECOND, type Target } from "./history.ts";
import { type Held, type Roster, type Slot, targetCredential, targetIdentity } from "./roster.ts";
import type { Team } from "./team.ts";

/** How many act by the library at once; one more acts by commands. */
const LIBRARIANS = 3;
/** Longest rest between two actions of one operator, ms. */
const REST = { library: 150, command: 400 };
/** How often whoever paused something resumes it next: else nearly everything would be paused nearly always. */
const RESUMED = 0.7;
/** How often two operators do the same at once. */
const TOGETHER = 0.1;
/**
 * Seconds that a predecessor lives on. No command ends it, so nobody waits for verifiers then: one that hears nothing may
 * go on with it for as long as its lease lasts, which is shorter than each of these.
 */
const GRACES = [8, 12];
/** Lifetimes in seconds: most outlast the campaign, some end within it. */
const LIVES = [
  { weight: 8, value: 86_400 },
  { weight: 1, value: 9 },
  { weight: 1, value: 20 },
];

/** Pauses, resumes, revokes and rotates, several at once, and notes when each was over. */
export class Operators {
  readonly actions: Action[] = [];
  /** Actions that ended as none may, nobody disturbing them. */
  readonly failures: string[] = [];
  readonly #ground: Ground;
  readonly #team: Team;
  readonly #roster: Roster;
  readonly #librarian: LibraryHand;
  readonly #seed: number;
  #working = false;

  constructor(ground: Ground, team: Team, roster: Roster, seed: number) {
    this.#ground = ground;
    this.#team = team;
    this.#roster = roster;
    this.#librarian = new LibraryHand(ground);
    this.#seed = seed;
  }

  /** Gives every slot its first identity. */
  async prepare(): Promise<void> {
    const random = createRandom(this.#seed, 100);
    for (const slot of this.#roster.slots) await this.#renew(slot, random);
  }

  /** Acts until `stop`; resolves when the last action is over. */
  async work(): Promise<void> {
    this.#working = true;
    const hands: Hand[] = Array.from({ length: LIBRARIANS }, () => this.#librarian);
    hands.push(new CommandHand(this.#ground));
    await Promise.all(hands.map((hand, place) => this.#operate(hand, createRandom(this.#seed, 101 + place))));
  }

  stop(): void {
    this.#working = false;
  }

  async #operate(hand: Hand, random: Random): Promise<void> {
    while (this.#working) {
      const slot = this.#roster.choose(random);
      slot.busy += 1;
      try {
        await this.#act(hand, random, slot);
      } finally {
        slot.busy -= 1;
      }
      await delay(random.unit() * REST[hand.by]);
    }
  }

  #act(hand: Hand, random: Random, slot: Slot): Promise<void> {
    if (slot.held.length === 0 || this.#ground.now() > slot.until) return this.#renew(slot, random);
    return random.weigh(this.#listActions(hand, random, slot))();
  }

  #listActions(hand: Hand, random: Random, slot: Slot) {
    const isParent = this.#roster.slots.some(({ parent }) => parent === slot);
    const control = (verb: ControlVerb) => () => this.#controlIdentity(hand, random, slot, verb);
    const rotate = (compromised: boolean) => () =>
      this.#rotate(hand, slot, { grace: random.pick(GRACES), compromised });
    const choices = [
      slot.paused ? { weight: 5, value: control("resume") } : { weight: 2.5, value: control("pause") },
      { weight: isParent ? 0.1 : 0.4, value: control("revoke") },
      { weight: slot.held.length < 2 ? 1.5 : 0.3, value: rotate(false) },
      { weight: hand.by === "command" ? 0.5 : 0, value: rotate(true) },
    ];
    for (const held of slot.held) {
      const one = (verb: ControlVerb) => () => this.#controlCredential(hand, random, slot, held, verb);
      choices.push(held.paused ? { weight: 4, value: one("resume") } : { weight: 1.5, value: one("pause") });
      choices.push({ weight: 0.4, value: one("revoke") });
    }
    return choices;
  }

  async #controlIdentity(hand: Hand, random: Random, slot: Slot, verb: ControlVerb): Promise<void> {
    const { slug } = slot;
    const concerned = this.#roster.familyOf(slot).flatMap(({ held }) => held.map(({ index }) => index));
    const done = await this.#controlTogether(hand, random, verb, slug, targetIdentity(slot), concerned);
    // Another operator may have put the next identity in its place.
    if (slot.slug !== slug) return;
    if (!done || verb === "revoke") {
      for (const gone of this.#roster.familyOf(slot)) gone.held = [];
      return;
    }
    slot.paused = verb === "pause";
    if (!slot.paused || !random.chance(RESUMED)) return;
    await delay(random.unit() * REST[hand.by]);
    if (slot.slug === slug) await this.#controlIdentity(hand, random, slot, "resume");
  }

  async #controlCredential(
    hand: Hand,
    random: Random,
    slot: Slot,
    held: Held,
    verb: ControlVerb,
  ): Promise<void> {
    const ref = random.chance(0.2) ? `at_${held.id}` : `mc_${held.id}`;
    const target = targetCredential(held.index);
    const done = await this.#controlTogether(hand, random, verb, ref, target, [held.index]);
    if (!done || verb === "revoke") {
      slot.held = slot.held.filter((one) => one !== held);
      return;
    }
    held.paused = verb === "pause";
    if (!held.paused || !random.chance(RESUMED)) return;
    await delay(random.unit() * REST[hand.by]);
    await this.#controlCredential(hand, random, slot, held, "resume");
  }

  /** Now and then another operator has the same wish: for him nothing is left to change, and it binds as much. */
  async #controlTogether(
    hand: Hand,
    random: Random,
    verb: ControlVerb,
    ref: string,
    target: Target,
    concerned: readonly number[],
  ): Promise<boolean> {
    const hands = random.chance(TOGETHER) ? [hand, this.#librarian] : [hand];
    const ended = hands.map((one) => this.#control(one, verb, ref, target, concerned));
    return (await Promise.all(ended)).some(({ outcome }) => outcome === "done");
  }

  async #control(hand: Hand, verb: ControlVerb, ref: string, target: Target, concerned: readonly number[]) {
    this.#team.heat(concerned);
    const begin = this.#ground.now();
    const ended = await hand.control(verb, ref);
    const letGo = ended.outcome === "done" ? ended.value : null;
    this.#note({ kind: verb, by: hand.by, targets: [target], ref, begin, letGo }, ended);
    return ended;
  }

  async #rotate(hand: Hand, slot: Slot, wish: { grace: number; compromised: boolean }): Promise<void> {
    const { slug } = slot;
    const before = this.#roster.listOf(slug);
    this.#team.heat(slot.held.map(({ index }) => index));
    const begin = this.#ground.now();
    const ended = await hand.rotate(slug, wish);
    const targets = wish.compromised ? before.map(targetCredential) : [];
    const ref = wish.compromised ? `${slug} --compromised` : slug;
    this.#note({ kind: "rotate", by: hand.by, targets, ref, begin, letGo: null }, ended);
    if (ended.outcome !== "done" || slot.slug !== slug) return;
    if (wish.compromised) slot.held = slot.held.filter(({ index }) => !before.includes(index));
    this.#admit(slot, ended, null, wish.grace * SECOND);
  }

  /** A new identity for the slot, with a credential. */
  async #renew(slot: Slot, random: Random): Promise<void> {
    const life = random.weigh(LIVES);
    const { slug, parent } = this.#roster.renew(slot);
    const issued = await this.#librarian.issue(
      {
        slug,
        parent,
        kind: "service",
        provider: null,
        threadId: null,
        owner: "campaign",
        displayName: null,
        labels: null,
        workspace: null,
        expiresIn: null,
        idleTtl: null,
      },
      life,
    );
    if (issued.outcome === "unknown") this.failures.push(`issuing for ${slug}: ${issued.why}`);
    // Refused: its parent was revoked meanwhile. The slot stays empty and its turn comes again.
    if (issued.outcome !== "done" || slot.slug !== slug) return;
    slot.until = Number.POSITIVE_INFINITY;
    this.#admit(slot, issued, issued.end + life * SECOND, 0);
  }

  #admit(
    slot: Slot,
    { value: { id, token, ...issued }, end }: Ended<Issued> & { readonly outcome: "done" },
    notAfter: Instant | null,
    grace: number,
  ): void {
    const predecessor = issued.replaces === null ? null : this.#roster.find(issued.replaces);
    const replaces = predecessor === null ? null : { credential: predecessor, grace };
    const fact = { id, identity: slot.slug, knownFrom: end, notAfter, replaces };
    const { index } = this.#roster.admit(slot, fact);
    this.#team.admit([{ credential: index, token, slug: slot.slug }]);
    this.#team.heat([index]);
  }

  #note(action: Omit<Action, "end" | "outcome">, ended: Ended<unknown>): void {
    this.actions.push({ ...action, end: ended.end, outcome: ended.outcome });
    if (ended.outcome === "unknown") this.failures.push(`${action.kind} ${action.ref}: ${ended.why}`);
  }
}
