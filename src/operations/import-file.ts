import type { Commitment } from "../domain/token.ts";
import type { IdentitySpec } from "./identity-create.ts";
import { Failures, type LineFailure } from "./import-failures.ts";

/** The lines of an import before the database has seen them: kept small, ordered parents first, judged by themselves. */

/** One line: an identity, and the credential that it is to have. */
export interface ImportLine {
  /** Where it stands, from 1. */
  readonly line: number;
  readonly spec: ImportSpec;
  readonly credential: ImportCredential | null;
}

export type ImportSpec = IdentitySpec & {
  readonly owner: string;
  readonly publicId: string;
  readonly expiresIn: number | null;
};

export interface ImportCredential {
  readonly secret: Commitment;
  readonly name: string;
  readonly scopes: readonly string[];
  /** Seconds, or "never". */
  readonly expiresIn: number | "never";
  /** Seconds. */
  readonly activateWithin: number;
}

/** Where the text of lines is kept meanwhile; positions and sizes are in bytes. */
export interface Spool {
  append(text: string): { readonly position: number; readonly size: number };
  read(position: number, size: number): string;
}

const NONE = -1;
/** Of lines whose parents were looked at: the level, or one of these. */
const UNSEEN = -1;
const ENTERED = -2;
const REFUSED = -3;

/** Of every line only what has to be compared with others is in memory; the line itself is in the spool. */
export class ImportFile {
  readonly failures = new Failures();
  /** Lines that are no blank ones. */
  total = 0;
  readonly #spool: Spool;
  /** Slugs of lines and of parents, each with a number. */
  readonly #names: string[] = [];
  readonly #nameIds = new Map<string, number>();
  /** By the number of a name: the entry, NONE, or REFUSED and the line for one that is wrong. */
  readonly #entryOf: number[] = [];
  readonly #refusedOn = new Map<number, number>();
  readonly #threads = new Map<string, number>();
  readonly #credentials = new Map<string, number>();
  readonly #hashes = new Map<string, number>();
  readonly #workspaces = new Map<string | null, string | null>();
  /** By entry. */
  readonly #entries: Entry[] = [];
  readonly #position: number[] = [];
  readonly #level: number[] = [];

  constructor(spool: Spool) {
    this.#spool = spool;
  }

  /** Takes a line in, or notes that one before it says the same. */
  add({ line, spec, credential }: ImportLine): void {
    this.total++;
    const thread = spec.threadId === null ? null : `${spec.provider}-${spec.threadId}`;
    const name = this.#name(spec.slug);
    const twin = this.#twin(spec, thread, credential);
    if (twin !== null) {
      this.failures.add({ line, code: "conflict", message: twin });
      return;
    }
    this.#entryOf[name] = this.#entries.length;
    if (thread !== null) this.#threads.set(thread, line);
    if (credential !== null) {
      this.#credentials.set(credential.secret.publicId, line);
      this.#hashes.set(credential.secret.hash, line);
    }
    let workspace = this.#workspaces.get(spec.workspace);
    if (workspace === undefined) {
      workspace = spec.workspace;
      this.#workspaces.set(workspace, workspace);
    }
    const identity = JSON.stringify({
      publicId: spec.publicId,
      slug: spec.slug,
      displayName: spec.displayName,
      kind: spec.kind,
      provider: spec.provider,
      threadId: spec.threadId,
      owner: spec.owner,
      labels: spec.labels,
      parent: spec.parent,
      workspace: spec.workspace,
      expiresIn: spec.expiresIn,
      idleTtl: spec.idleTtl,
    });
    const issued =
      credential === null
        ? ""
        : JSON.stringify({
            publicId: credential.secret.publicId,
            tokenHash: credential.secret.hash,
            environment: credential.secret.environment,
            identity: spec.slug,
            name: credential.name,
            // As it is stored.
            scopes: JSON.stringify(credential.scopes),
            expiresIn: credential.expiresIn === "never" ? null : credential.expiresIn,
            activateWithin: credential.activateWithin,
          });
    const { position, size } = this.#spool.append(identity + issued);
    this.#position.push(position);
    const issuedSize = Buffer.byteLength(issued);
    this.#entries.push({
      index: this.#entries.length,
      line,
      slug: this.#names[name] as string,
      thread: spec.threadId !== null,
      parent: spec.parent === null ? null : (this.#names[this.#name(spec.parent)] as string),
      workspace,
      secret: credential?.secret ?? null,
      sizes: [size - issuedSize, issuedSize],
    });
  }

  /** A line that is wrong by itself. @param slug where it has one all the same, so that its children know */
  refuse(failure: LineFailure, slug: string | null): void {
    this.total++;
    this.failures.add(failure);
    if (slug === null) return;
    const name = this.#name(slug);
    if (this.#entryOf[name] === NONE) this.#refusedOn.set(name, failure.line);
  }

  /** Whether every line, some or none has a credential. */
  get credentials(): "all" | "some" | "none" {
    if (this.#credentials.size === 0) return "none";
    return this.#credentials.size === this.#entries.length ? "all" : "some";
  }

  /** After the last line: brings parents before children, and notes those that are their own ancestors. */
  seal(): void {
    for (const { index } of this.#entries) this.#level[index] = UNSEEN;
    for (const { index } of this.#entries) this.#climb(index);
  }

  /** Lines that are not refused, at most so many at once: no line of a batch is the parent of another one in it. */
  *batches(most: number): Generator<readonly Entry[]> {
    const order = this.#entries.filter(({ index }) => (this.#level[index] as number) >= 0);
    order.sort((a, b) => this.levelOf(a) - this.levelOf(b) || a.line - b.line);
    for (let at = 0; at < order.length; ) {
      const level = this.levelOf(order[at] as Entry);
      let end = at + 1;
      while (end < order.length && end - at < most && this.levelOf(order[end] as Entry) === level) end++;
      yield order.slice(at, end);
      at = end;
    }
  }

  /** How many parents it has in the file. */
  levelOf({ index }: Entry): number {
    return this.#level[index] as number;
  }

  /** The line of the file that is its parent, right or wrong; null where the file has none. */
  parentLine({ parent }: Entry): { readonly line: number; readonly entry: Entry | null } | null {
    if (parent === null) return null;
    const name = this.#nameIds.get(parent) as number;
    const entry = this.#entries[this.#entryOf[name] as number];
    if (entry !== undefined) return { line: entry.line, entry };
    const line = this.#refusedOn.get(name);
    return line === undefined ? null : { line, entry: null };
  }

  /** The texts of lines, as `insertIdentities` and `insertCredentials` take them. */
  textsOf(entries: readonly Entry[]): { readonly identities: string[]; readonly credentials: string[] } {
    const identities: string[] = [];
    const credentials: string[] = [];
    for (const entry of entries) {
      const [identity, issued] = this.#read(entry);
      identities.push(identity);
      if (issued !== "") credentials.push(issued);
    }
    return { identities, credentials };
  }

  /** The whole line again. */
  lineOf(entry: Entry): ImportLine {
    const [identity, issued] = this.#read(entry);
    const spec = JSON.parse(identity) as ImportSpec;
    if (entry.secret === null) return { line: entry.line, spec, credential: null };
    const { name, scopes, expiresIn, activateWithin } = JSON.parse(issued) as ImportCredential & {
      readonly scopes: string;
    };
    return {
      line: entry.line,
      spec,
      credential: {
        secret: entry.secret,
        name,
        scopes: JSON.parse(scopes) as string[],
        expiresIn: expiresIn ?? "never",
        activateWithin,
      },
    };
  }

  #read({ index, sizes: [identity, issued] }: Entry): [string, string] {
    const bytes = this.#spool.read(this.#position[index] as number, identity + issued);
    // Sizes are in bytes, and only the identity's texts may be more than ASCII.
    return issued === 0 ? [bytes, ""] : [bytes.slice(0, -issued), bytes.slice(-issued)];
  }

  #name(slug: string): number {
    const known = this.#nameIds.get(slug);
    if (known !== undefined) return known;
    const id = this.#names.length;
    this.#names.push(slug);
    this.#nameIds.set(slug, id);
    this.#entryOf.push(NONE);
    return id;
  }

  /** What an earlier line has already; null where there is none. */
  #twin(spec: ImportSpec, thread: string | null, credential: ImportCredential | null): string | null {
    const name = this.#nameIds.get(spec.slug) as number;
    const same = this.#entries[this.#entryOf[name] as number]?.line;
    if (same !== undefined) return `${spec.slug} stands on line ${same} already`;
    const sameThread = thread === null ? undefined : this.#threads.get(thread);
    if (sameThread !== undefined)
      return `this thread of ${spec.provider} stands on line ${sameThread} already`;
    if (credential === null) return null;
    const sameSecret =
      this.#credentials.get(credential.secret.publicId) ?? this.#hashes.get(credential.secret.hash);
    return sameSecret === undefined ? null : `its commitment stands on line ${sameSecret} already`;
  }

  /** Goes up from a line until a level is known, and comes back down. */
  #climb(start: number): void {
    const path: number[] = [];
    let at = start;
    let base = 0;
    for (;;) {
      const level = this.#level[at] as number;
      if (level === ENTERED) {
        this.#refuseCycle(path.slice(path.indexOf(at)));
        base = REFUSED;
        break;
      }
      if (level !== UNSEEN) {
        base = level >= 0 ? level + 1 : REFUSED;
        break;
      }
      this.#level[at] = ENTERED;
      path.push(at);
      const above = this.parentLine(this.#entries[at] as Entry);
      if (above === null || above.entry === null) break;
      at = above.entry.index;
    }
    for (const index of path.reverse()) {
      if (base === REFUSED) {
        if (this.#level[index] === ENTERED) this.#refuseUnder(index);
        this.#level[index] = REFUSED;
      } else this.#level[index] = base++;
    }
  }

  #refuseCycle(cycle: readonly number[]): void {
    const lines = cycle.map((index) => (this.#entries[index] as Entry).line);
    const shown = [...lines.slice(0, 8), ...(lines.length > 8 ? ["…"] : []), lines[0]].join(" → ");
    for (const index of cycle) {
      this.#level[index] = REFUSED;
      this.failures.add({
        line: (this.#entries[index] as Entry).line,
        code: "usage",
        message: `its parents come round to itself: line ${shown}`,
      });
    }
  }

  #refuseUnder(index: number): void {
    const entry = this.#entries[index] as Entry;
    this.failures.add({
      line: entry.line,
      code: "usage",
      message: `its parent ${entry.parent} stands on line ${this.parentLine(entry)?.line}, and cannot be imported`,
    });
  }
}

/** What is in memory of a line. */
export interface Entry {
  readonly index: number;
  readonly line: number;
  readonly slug: string;
  readonly thread: boolean;
  readonly parent: string | null;
  readonly workspace: string | null;
  readonly secret: Commitment | null;
  readonly sizes: readonly [number, number];
}
