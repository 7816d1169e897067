import { join } from "node:path";
import type { CredentialState, Fleet, IdentityState } from "./fleet.ts";
import type { Random } from "./random.ts";

export type Verb = "issue" | "rotate" | "activate" | "pause" | "resume" | "revoke";
/** How a secret is to come to us. */
export type Delivery = "stdout" | "json" | "file";

/** One command, and what it is to bring about. */
export interface Step {
  readonly verb: Verb;
  readonly slot: number;
  readonly slug: string;
  readonly args: readonly string[];
  readonly stdin?: string;
  readonly delivery: Delivery | null;
  readonly tokenFile: string | null;
  /** The name of the credential that comes into being; null where none does. */
  readonly name: string | null;
  /** The credential that has to go on working whatever becomes of a rotation. */
  readonly predecessor: CredentialState | null;
  readonly after: IdentityState;
}

const NAMES = ["default", "build", "deploy"];

/** A command that is legal now for the slot's identity, foreseen to its end. */
export function chooseStep(random: Random, fleet: Fleet, slot: number, tokens: string, round: number): Step {
  const place = fleet.slots[slot];
  if (place === undefined) throw new Error(`there is no slot ${slot}`);
  const state = place.state;
  const maker = new StepMaker(random, slot, join(tokens, `${round}-${slot}`));
  if (state === null) return maker.create(place.generation);
  return random.weigh(listSteps(maker, random, fleet, state))();
}

type Choice = { readonly weight: number; readonly value: () => Step };

function listSteps(maker: StepMaker, random: Random, fleet: Fleet, state: IdentityState): Choice[] {
  const active = state.status === "active";
  const choices: Choice[] = [
    active
      ? { weight: 2, value: () => maker.controlIdentity(state, "pause", "paused") }
      : { weight: 6, value: () => maker.controlIdentity(state, "resume", "active") },
    { weight: 0.7, value: () => maker.controlIdentity(state, "revoke", "revoked") },
  ];
  for (const name of NAMES) {
    const ofName = state.credentials.filter((credential) => credential.name === name);
    const pending = ofName.find(({ status }) => status === "pending");
    const current = ofName.find(({ status }) => status === "active" || status === "paused");
    const issue = (): Step => maker.issue(state, name, pending);
    const rotate = (compromised: boolean) => (): Step =>
      maker.rotate(state, name, current as CredentialState, pending, compromised);
    if (pending === undefined && current === undefined) choices.push({ weight: 3, value: issue });
    if (pending !== undefined && current === undefined) choices.push({ weight: 1, value: issue });
    if (current !== undefined) {
      choices.push({ weight: pending === undefined ? 5 : 1, value: rotate(false) });
      choices.push({ weight: 0.7, value: rotate(true) });
      const [verb, status] =
        current.status === "active" ? (["pause", "paused"] as const) : (["resume", "active"] as const);
      choices.push({ weight: 1, value: () => maker.controlCredential(state, current, verb, status) });
    }
    const token = pending?.id == null ? undefined : fleet.tokens.get(pending.id);
    if (pending !== undefined && token !== undefined && active) {
      choices.push({ weight: 6, value: () => maker.activate(state, pending, token) });
    }
    const live = ofName.filter((credential) => credential.live);
    if (live.length > 0) {
      choices.push({
        weight: 0.7,
        value: () => maker.controlCredential(state, random.pick(live), "revoke", "revoked"),
      });
    }
  }
  return choices;
}

class StepMaker {
  readonly #random: Random;
  readonly #slot: number;
  readonly #file: string;

  constructor(random: Random, slot: number, file: string) {
    this.#random = random;
    this.#slot = slot;
    this.#file = file;
  }

  create(generation: number): Step {
    const slug = `${this.#random.chance(0.5) ? "codex" : "agent"}-${this.#slot}-${generation}`;
    const args = ["credential", "issue", ...this.#describe(slug)];
    const credentials = [newborn("default", null)];
    return this.#secret("issue", args, "default", { slug, status: "active", credentials });
  }

  /** Which identity to get or create: a thread's by its thread, another by its slug. */
  #describe(slug: string): string[] {
    const thread = /^codex-(.*)/.exec(slug)?.[1];
    const who = thread === undefined ? [slug] : ["--thread", thread, "--provider", "codex"];
    return [...who, "--create", "--owner", "campaign"];
  }

  issue(state: IdentityState, name: string, pending: CredentialState | undefined): Step {
    const create = this.#random.chance(0.3);
    const who = create ? this.#describe(state.slug) : [state.slug];
    const args = ["credential", "issue", ...who, "--name", name];
    if (pending !== undefined) args.push("--replace-pending");
    const kept = change(state, (one) => one === pending, "abandoned");
    return this.#secret("issue", args, name, {
      ...kept,
      credentials: [...kept.credentials, newborn(name, null)],
    });
  }

  rotate(
    state: IdentityState,
    name: string,
    current: CredentialState,
    pending: CredentialState | undefined,
    compromised: boolean,
  ): Step {
    const args = ["credential", "rotate", state.slug, "--name", name];
    if (compromised) args.push("--compromised", "--yes");
    else args.push("--grace", "24h");
    if (pending !== undefined && !compromised) args.push("--replace-pending");
    const kept = compromised
      ? change(state, (one) => one.name === name && one.live, "revoked")
      : change(state, (one) => one === pending, "abandoned");
    const works = !compromised && state.status === "active" && current.status === "active";
    return {
      ...this.#secret("rotate", args, name, {
        ...kept,
        credentials: [...kept.credentials, newborn(name, current.id)],
      }),
      predecessor: works ? current : null,
    };
  }

  activate(state: IdentityState, pending: CredentialState, token: string): Step {
    const activated = change(state, (one) => one === pending, "active");
    const after = change(
      activated,
      ({ id, status }) => id === pending.replaces && (status === "active" || status === "paused"),
      "superseded",
    );
    const step = this.#control("activate", state, ["credential", "activate", "--json"], after);
    return { ...step, stdin: `${token}\n` };
  }

  controlIdentity(state: IdentityState, verb: "pause" | "resume" | "revoke", status: string): Step {
    const moved = { ...state, status };
    const after = verb === "revoke" ? change(moved, ({ live }) => live, "revoked") : moved;
    return this.#control(verb, state, [verb, state.slug, "--json", "--yes"], after);
  }

  controlCredential(
    state: IdentityState,
    credential: CredentialState,
    verb: "pause" | "resume" | "revoke",
    status: string,
  ): Step {
    const after = change(state, (one) => one === credential, status);
    return this.#control(verb, state, [verb, `mc_${credential.id}`, "--json", "--yes"], after);
  }

  #control(verb: Verb, state: IdentityState, args: string[], after: IdentityState): Step {
    const { slug } = state;
    return {
      verb,
      slot: this.#slot,
      slug,
      args,
      after,
      delivery: null,
      tokenFile: null,
      name: null,
      predecessor: null,
    };
  }

  #secret(verb: Verb, args: string[], name: string, after: IdentityState): Step {
    const delivery = this.#random.pick(["stdout", "json", "file", "file"] as const);
    if (delivery === "file") args.push("--token-file", this.#file);
    // Beside a file JSON is only another way to say what happened; without it the exit code says it alone.
    if (delivery === "json" || (delivery === "file" && this.#random.chance(0.5))) args.push("--json");
    return {
      verb,
      slot: this.#slot,
      slug: after.slug,
      args,
      after,
      delivery,
      name,
      predecessor: null,
      tokenFile: delivery === "file" ? this.#file : null,
    };
  }
}

function newborn(name: string, replaces: string | null): CredentialState {
  return { id: null, name, status: "pending", replaces, live: true };
}

function change(
  state: IdentityState,
  which: (credential: CredentialState) => boolean,
  status: string,
): IdentityState {
  const credentials = state.credentials.map((one) => (which(one) ? { ...one, status } : one));
  return { ...state, credentials };
}
