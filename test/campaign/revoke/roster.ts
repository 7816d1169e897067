import type { Random } from "../random.ts";
import type { CredentialFact, Instant, Target } from "./history.ts";

/** A credential as far as the operators follow it; the database and the judge know better. */
export interface Held {
  /** Place in `Roster.credentials`. */
  readonly index: number;
  readonly id: string;
  paused: boolean;
}

/** One identity at a time, and what the operators believe of it. A belief that is wrong is a refusal, no more. */
export interface Slot {
  readonly number: number;
  /** The slot whose identity is the parent; null for a root. */
  readonly parent: Slot | null;
  slug: string;
  generation: number;
  paused: boolean;
  /** The two latest that are not known to have ended, oldest first. */
  held: Held[];
  /** When its identity has to be replaced at the latest: its credential expires. */
  until: Instant;
  /** How many operators are at it. */
  busy: number;
}

/** Every fourth is a child of the one before. */
const FAMILY = 4;

/** The identities that the campaign plays with, and every fact that the judge has to know of them. */
export class Roster {
  readonly slots: readonly Slot[];
  readonly identities = new Map<string, string | null>();
  readonly credentials: CredentialFact[] = [];

  constructor(size: number) {
    const slots: Slot[] = [];
    for (let number = 0; number < size; number++) {
      const parent = number % FAMILY === FAMILY - 1 ? (slots[number - 1] ?? null) : null;
      slots.push({
        number,
        parent,
        slug: "",
        generation: 0,
        paused: false,
        held: [],
        until: 0,
        busy: 0,
      });
    }
    this.slots = slots;
  }

  /** A slot to act on: mostly one that nobody else is at. */
  choose(random: Random): Slot {
    for (let draw = 0; draw < 20; draw++) {
      const slot = random.pick(this.slots);
      if (slot.busy === 0 || random.chance(0.15)) return slot;
    }
    return random.pick(this.slots);
  }

  /** Puts a new identity into the slot, still without a credential. Returns its slug and its parent's. */
  renew(slot: Slot): { readonly slug: string; readonly parent: string | null } {
    slot.generation += 1;
    const slug = `agent-${slot.number}-${slot.generation}`;
    const parent = slot.parent?.slug || null;
    Object.assign(slot, { slug, paused: false, held: [], until: 0 });
    this.identities.set(slug, parent);
    return { slug, parent };
  }

  /** Takes a credential in that was just issued. */
  admit(slot: Slot, fact: CredentialFact): Held {
    const held: Held = { index: this.credentials.length, id: fact.id, paused: false };
    this.credentials.push(fact);
    slot.held = [...slot.held, held].slice(-2);
    if (fact.notAfter !== null) slot.until = Math.min(slot.until, fact.notAfter);
    return held;
  }

  /** Every credential that an identity ever had. */
  listOf(slug: string): readonly number[] {
    return [...this.credentials.keys()].filter((index) => this.credentials[index]?.identity === slug);
  }

  /** Place of the credential with that public id; null for none. */
  find(id: string): number | null {
    const index = this.credentials.findIndex((fact) => fact.id === id);
    return index === -1 ? null : index;
  }

  /** The slot and those whose identities stand or fall with its. */
  familyOf(slot: Slot): readonly Slot[] {
    return this.slots.filter((other) => other === slot || other.parent === slot);
  }
}

export function targetIdentity(slot: Slot): Target {
  return `identity ${slot.slug}`;
}

export function targetCredential(index: number): Target {
  return `credential ${index}`;
}
