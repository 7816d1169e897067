import type { Tx } from "../db/database.ts";
import { type ErrorCode, MidctlError } from "../domain/errors.ts";
import { formatCredential } from "../domain/reference.ts";
import { type Credential, readIssued, readTakenNames } from "../repository/credential.ts";
import type { Environment } from "../repository/environment.ts";
import { type Identity, readIdentities, readThreads, readWorkspace } from "../repository/identity.ts";
import { readTokensLike } from "../repository/token.ts";
import { differencesFrom, requireWorkspace } from "./identity-create.ts";
import { Failures } from "./import-failures.ts";
import type { Entry, ImportCredential, ImportFile, ImportLine } from "./import-file.ts";
import { hasEnded, retried } from "./issuance.ts";

export interface ImportOptions {
  /** An identity that is there with the same attributes is no error. */
  readonly ifNotExists: boolean;
  /** Imports the lines that are right, where others are not. */
  readonly keepGoing: boolean;
}

/** What is to be done with the lines of a batch; those that are wrong are in `failures`. */
export interface Verdict {
  readonly create: readonly Entry[];
  /** Whose identity is there. */
  readonly issue: readonly Entry[];
  readonly unchanged: readonly Entry[];
}

/** What the database holds that may speak against lines of a batch, read at once. */
interface Found {
  readonly identities: ReadonlyMap<string, Identity>;
  /** By `provider-threadId`. */
  readonly threads: ReadonlyMap<string, string>;
  /** By the public id of the line's secret. */
  readonly issued: ReadonlyMap<string, Credential>;
  readonly tokens: ReadonlySet<string>;
  /** `slug/name` of what is current or pending. */
  readonly names: ReadonlyMap<string, string>;
}

/** Judges the lines of a file by what the database holds: each of them, so that one error names all that are wrong. */
export class Judge {
  readonly failures: Failures;
  readonly #tx: Tx;
  readonly #file: ImportFile;
  readonly #options: ImportOptions;
  readonly #environment: Environment;
  /** What parents outside of the file, and identities of the file that are there, amount to; null for none. */
  readonly #standing = new Map<string, string | null>();
  readonly #workspaces = new Map<string | null, MidctlError | null>();
  readonly #refused = new Set<number>();

  constructor(tx: Tx, file: ImportFile, options: ImportOptions, environment: Environment) {
    this.#tx = tx;
    this.#file = file;
    this.#options = options;
    this.#environment = environment;
    this.failures = new Failures(file.failures);
  }

  async look(batch: readonly Entry[]): Promise<Verdict> {
    return this.#judge(batch, await this.#read(batch));
  }

  /** As `look`, of each; what the database knows of a batch is asked before the one before it is judged. No two lines are about the same. */
  async *lookAhead(batches: Iterable<readonly Entry[]>): AsyncGenerator<Verdict> {
    let ahead: { readonly batch: readonly Entry[]; readonly found: Promise<Found> } | null = null;
    try {
      for (const batch of batches) {
        const before: typeof ahead = ahead;
        const known = await before?.found;
        ahead = { batch, found: this.#read(batch) };
        ahead.found.catch(() => {});
        if (before !== null && known !== undefined) yield this.#judge(before.batch, known);
      }
      if (ahead !== null) yield this.#judge(ahead.batch, await ahead.found);
    } finally {
      // Nothing may be asked of a transaction that is over.
      await ahead?.found.catch(() => {});
    }
  }

  #judge(batch: readonly Entry[], found: Found): Verdict {
    const verdict = { create: [] as Entry[], issue: [] as Entry[], unchanged: [] as Entry[] };
    for (const entry of batch) {
      const existing = found.identities.get(entry.slug);
      try {
        this.#judgeKind(entry);
        if (existing === undefined) {
          this.#judgeNew(entry, found);
          verdict.create.push(entry);
        } else verdict[this.#judgeExisting(entry, existing, found)].push(entry);
      } catch (error) {
        if (!(error instanceof MidctlError)) throw error;
        this.#refused.add(entry.index);
        if (error instanceof Follows && !this.#options.keepGoing) continue;
        const message = error.message.replace(/; nothing was \w+\.?$/, "").replace(/\.$/, "");
        this.failures.add({ line: entry.line, code: error.code, message });
      }
    }
    return verdict;
  }

  async #read(batch: readonly Entry[]): Promise<Found> {
    const tx = this.#tx;
    const secrets = batch.flatMap(({ secret }) => (secret === null ? [] : [secret]));
    const threads = batch
      .filter(({ thread }) => thread)
      .map((entry) => this.#file.lineOf(entry).spec)
      .flatMap(({ provider, threadId }) =>
        provider === null || threadId === null ? [] : [{ provider, threadId }],
      );
    const slugs = batch.map(({ slug }) => slug);
    const parents = this.#unknownParents(batch);
    const [identities, above, taken, issued, tokens] = await Promise.all([
      readIdentities(tx, slugs),
      parents.length === 0 ? [] : readIdentities(tx, parents),
      threads.length === 0 ? [] : readThreads(tx, threads),
      secrets.length === 0 ? [] : readIssued(tx, secrets),
      secrets.length === 0 ? [] : readTokensLike(tx, secrets),
    ]);
    for (const slug of parents) this.#standing.set(slug, null);
    for (const { slug, effectiveStatus } of [...above, ...identities])
      this.#standing.set(slug, effectiveStatus);
    await this.#readWorkspaces(batch);
    const here = identities.map(({ slug }) => slug);
    const names = here.length === 0 || secrets.length === 0 ? [] : await readTakenNames(tx, here);
    return {
      identities: new Map(identities.map((identity) => [identity.slug, identity])),
      threads: new Map(taken.map(({ provider, threadId, slug }) => [`${provider}-${threadId}`, slug])),
      issued: new Map(issued.map(({ given, ...credential }) => [given, credential])),
      tokens: new Set(tokens),
      names: new Map(names.map(({ identity, name, id }) => [`${identity}/${name}`, id])),
    };
  }

  #unknownParents(batch: readonly Entry[]): string[] {
    const parents = new Set<string>();
    for (const entry of batch) {
      const { parent } = entry;
      if (parent === null || this.#standing.has(parent)) continue;
      if (this.#file.parentLine(entry) === null) parents.add(parent);
    }
    return [...parents];
  }

  async #readWorkspaces(batch: readonly Entry[]): Promise<void> {
    for (const { workspace } of batch) {
      if (this.#workspaces.has(workspace)) continue;
      const problem = checked(requireWorkspace, await readWorkspace(this.#tx, workspace), workspace);
      this.#workspaces.set(workspace, problem);
    }
  }

  #judgeKind({ secret }: Entry): void {
    const { kind } = this.#environment;
    if (secret === null || secret.environment === kind) return;
    throw refuse(
      "conflict",
      `its commitment is of a ${secret.environment} token, and this environment is ${kind}`,
    );
  }

  #judgeParent(entry: Entry): void {
    const { parent } = entry;
    if (parent === null) return;
    const above = this.#file.parentLine(entry);
    const standing = this.#standing.get(parent) ?? null;
    if (above === null && standing === null)
      throw refuse("not_found", `there is no machine identity ${parent}, its parent`);
    if (standing === "revoked" || standing === "identity_revoked")
      throw refuse("conflict", `its parent ${parent} is revoked, or an ancestor of that is`);
    if (standing === "expired")
      throw refuse("conflict", `its parent ${parent} has expired, or an ancestor of that has`);
    if (above !== null && (above.entry === null || this.#refused.has(above.entry.index)))
      throw new Follows("usage", `its parent ${parent} stands on line ${above.line}, and cannot be imported`);
  }

  #judgeNew(entry: Entry, { threads, issued, tokens }: Found): void {
    if (entry.thread) {
      const { provider, threadId } = this.#file.lineOf(entry).spec;
      const other = threads.get(`${provider}-${threadId}`);
      if (other !== undefined)
        throw refuse("conflict", `its thread is the machine identity ${other} already`);
    }
    const problem = this.#workspaces.get(entry.workspace);
    if (problem != null) throw problem;
    if (entry.secret !== null) {
      const known = issued.get(entry.secret.publicId);
      if (known !== undefined)
        throw refuse("conflict", `its commitment is ${known.id} of ${known.identity} already`);
      if (tokens.has(entry.secret.publicId))
        throw refuse("conflict", "its commitment is of a token that is there");
    }
    this.#judgeParent(entry);
  }

  #judgeExisting(entry: Entry, existing: Identity, found: Found): "issue" | "unchanged" {
    const { slug } = existing;
    if (!this.#options.ifNotExists) {
      throw refuse("conflict", `${slug} exists already (--if-not-exists where that is fine)`);
    }
    const { spec, credential } = this.#file.lineOf(entry);
    const differences = differencesFrom(existing, spec);
    if (differences.length > 0) {
      throw refuse("conflict", `${slug} exists and differs in ${differences.join(", ")}`);
    }
    if (credential === null) return "unchanged";
    const known = found.issued.get(credential.secret.publicId);
    if (known !== undefined) {
      retried(known, issuanceOf(spec.slug, credential), existing, "issue", null);
      return "unchanged";
    }
    if (found.tokens.has(credential.secret.publicId))
      throw refuse("conflict", "its commitment is of a token that is there");
    if (hasEnded(existing))
      throw refuse("conflict", `${slug} has ended (${existing.effectiveStatus}), and gets no new credential`);
    const holder = found.names.get(`${slug}/${credential.name}`);
    if (holder !== undefined)
      throw refuse(
        "conflict",
        `${slug} has ${formatCredential(holder.slice(3))} named ${credential.name} already`,
      );
    return "issue";
  }
}

/** Of a line that is wrong only because another one is. */
class Follows extends MidctlError {}

function refuse(code: ErrorCode, message: string): MidctlError {
  return new MidctlError(code, message);
}

function checked<A extends unknown[]>(check: (...args: A) => void, ...args: A): MidctlError | null {
  try {
    check(...args);
    return null;
  } catch (error) {
    if (error instanceof MidctlError) return error;
    throw error;
  }
}

/** A line's credential as `credential issue` would take it. */
export function issuanceOf(identity: string | ImportLine["spec"], credential: ImportCredential) {
  return { identity, replacePending: false, ...credential };
}
