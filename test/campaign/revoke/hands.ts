import { MidctlError } from "../../../src/domain/errors.ts";
import { issueCredential, rotateCredential } from "../../../src/index.ts";
import { readTarget } from "../../../src/operations/control.ts";
import type { HostIdentity } from "../../../src/operations/host.ts";
import { pauseTarget } from "../../../src/operations/pause.ts";
import { resumeTarget } from "../../../src/operations/resume.ts";
import { revokeTarget } from "../../../src/operations/revoke.ts";
import type { Ground } from "./ground.ts";
import type { Action, Instant, LetGo } from "./history.ts";

export type ControlVerb = "pause" | "resume" | "revoke";

/** An action as it ended: what there is to know of it, or why it changed nothing. */
export type Ended<T> =
  | { readonly outcome: "done"; readonly end: Instant; readonly value: T }
  | { readonly outcome: "refused" | "unknown"; readonly end: Instant; readonly why: string };

export interface Issued {
  /** Public id. */
  readonly id: string;
  readonly token: string;
  /** Public id of the one that its first use supersedes. */
  readonly replaces: string | null;
}

export interface RotationWish {
  /** Seconds. */
  readonly grace: number;
  /** Revokes at once every live credential of the name; only a command can. */
  readonly compromised: boolean;
}

/** A way to have things done: by the library, or by the program as a process. */
export interface Hand {
  readonly by: Action["by"];
  control(verb: ControlVerb, ref: string): Promise<Ended<LetGo | null>>;
  rotate(slug: string, wish: RotationWish): Promise<Ended<Issued>>;
}

const REQUEST = { actor: { kind: "operator", name: "campaign" }, reason: null } as const;
const CONTROL = { pause: pauseTarget, resume: resumeTarget, revoke: revokeTarget };

export class LibraryHand implements Hand {
  readonly by = "library";
  readonly #ground: Ground;

  constructor(ground: Ground) {
    this.#ground = ground;
  }

  control(verb: ControlVerb, ref: string): Promise<Ended<LetGo | null>> {
    const { db } = this.#ground;
    return this.#attempt(async () => {
      const { letGo } = await CONTROL[verb](db, REQUEST, await readTarget(db, ref));
      return letGo;
    });
  }

  rotate(slug: string, { grace }: RotationWish): Promise<Ended<Issued>> {
    return this.#attempt(() =>
      this.#ground.db.transaction((tx) =>
        rotateCredential(tx, { identity: slug, actor: "campaign", grace }).then(toIssued),
      ),
    );
  }

  /** @param expiresIn seconds */
  issue(identity: string | HostIdentity, expiresIn: number): Promise<Ended<Issued>> {
    return this.#attempt(() =>
      this.#ground.db.transaction((tx) =>
        issueCredential(tx, { identity, actor: "campaign", expiresIn }).then(toIssued),
      ),
    );
  }

  async #attempt<T>(work: () => Promise<T>): Promise<Ended<T>> {
    try {
      const value = await work();
      return { outcome: "done", end: this.#ground.now(), value };
    } catch (error) {
      const refused = error instanceof MidctlError && REFUSALS.has(error.code);
      const outcome = refused ? "refused" : "unknown";
      return { outcome, end: this.#ground.now(), why: String(error) };
    }
  }
}

/** What two operators at once may be told: it changed nothing. */
const REFUSALS = new Set(["conflict", "illegal_transition", "not_found"]);
/** The exit codes that go with them. */
const REFUSED = new Set([3, 5]);

interface IssuedDocument {
  readonly token: string;
  readonly credential: { readonly id: string; readonly replaces: string | null };
}

function toIssued({ token, credential: { id, replaces } }: IssuedDocument): Issued {
  return { id: id.slice(3), token, replaces: replaces?.slice(3) ?? null };
}

export class CommandHand implements Hand {
  readonly by = "command";
  readonly #ground: Ground;

  constructor(ground: Ground) {
    this.#ground = ground;
  }

  control(verb: ControlVerb, ref: string): Promise<Ended<LetGo | null>> {
    return this.#run([verb, ref, "--yes", "--json"], (document) => {
      const [result] = document.results as { letGo: LetGo | null }[];
      return result?.letGo ?? null;
    });
  }

  rotate(slug: string, { grace, compromised }: RotationWish): Promise<Ended<Issued>> {
    const how = compromised ? ["--compromised", "--yes"] : ["--grace", `${grace}s`];
    return this.#run(["credential", "rotate", slug, ...how, "--json"], (document) =>
      toIssued(document as unknown as IssuedDocument),
    );
  }

  async #run<T>(args: string[], read: (document: Record<string, unknown>) => T): Promise<Ended<T>> {
    const { code, stdout, stderr, end } = await this.#ground.run(args);
    if (code === 0) return { outcome: "done", end, value: read(JSON.parse(stdout)) };
    return { outcome: REFUSED.has(code ?? -1) ? "refused" : "unknown", end, why: `exit ${code}: ${stderr}` };
  }
}
