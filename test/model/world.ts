import {
  type CredentialFacts,
  type CredentialStatus,
  credentialTransition,
  type EffectiveStatus,
  effectiveCredentialStatus,
  effectiveIdentityStatus,
  graceEnd,
  type IdentityFacts,
  type IdentityStatus,
  identityTransition,
  isCurrent,
  isLive,
  isPending,
} from "../../src/domain/status.ts";

/**
 * What the database should do, in a few pages: rows as objects, rules from src/domain/status.ts. Each method is one
 * statement of plain SQL; it returns whether the database should take it, and changes nothing where not.
 */
export interface ModelIdentity extends Mutable<IdentityFacts> {
  readonly slug: string;
  readonly parent: ModelIdentity | null;
}

export interface ModelCredential extends Mutable<CredentialFacts> {
  readonly publicId: string;
  readonly identity: ModelIdentity;
  readonly name: string;
  readonly replaces: ModelCredential | null;
  readonly graceSeconds: number;
  /** Whether the host's token row says so. */
  tokenRevoked: boolean;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export interface NewCredential {
  readonly publicId: string;
  readonly identity: ModelIdentity;
  readonly name: string;
  readonly replaces: ModelCredential | null;
  readonly graceSeconds: number;
  /** Seconds from now. */
  readonly life: number;
  readonly activateWithin: number;
}

export class ModelWorld {
  now: number;
  readonly identities: ModelIdentity[] = [];
  readonly credentials: ModelCredential[] = [];

  constructor(now: number) {
    this.now = now;
  }

  createIdentity(
    slug: string,
    parent: ModelIdentity | null,
    life: number | null,
    idleTtl: number | null,
  ): boolean {
    if (parent !== null && hasEnded(this.identityState(parent))) return false;
    this.identities.push({
      slug,
      parent,
      status: "active",
      expiresAt: life === null ? null : this.#in(life),
      idleTtl,
      createdAt: this.#date,
      lastUsedAt: null,
      resumedAt: null,
    });
    return true;
  }

  issue(wanted: NewCredential): boolean {
    const { identity, name, replaces } = wanted;
    if (hasEnded(this.identityState(identity))) return false;
    const siblings = this.#siblings(identity, name);
    if (siblings.some((each) => isPending(each, this.#date))) return false;
    const current = siblings.find((each) => isCurrent(each, this.#date)) ?? null;
    if (current !== null && current !== replaces) return false;
    if (replaces !== null && !siblings.includes(replaces)) return false;
    for (const overdue of siblings) {
      if (overdue.status === "pending" && isPast(overdue.activationDeadline, this.now))
        this.#end(overdue, "abandoned");
    }
    this.credentials.push({
      publicId: wanted.publicId,
      identity,
      name,
      replaces,
      graceSeconds: wanted.graceSeconds,
      status: "pending",
      expiresAt: this.#in(wanted.life),
      activationDeadline: this.#in(wanted.activateWithin),
      graceUntil: null,
      tokenRevoked: false,
    });
    return true;
  }

  /** Abandons a pending credential in favour of one issued in the same transaction. */
  replace(pending: ModelCredential, wanted: NewCredential): boolean {
    if (pending.status !== "pending") return false;
    const before = { ...pending };
    this.#end(pending, "abandoned");
    const fits = wanted.identity === pending.identity && wanted.name === pending.name;
    if (fits && this.issue(wanted)) return true;
    Object.assign(pending, before);
    return false;
  }

  setCredential(credential: ModelCredential, to: CredentialStatus): boolean {
    const from = credential.status;
    if (from === to) return true;
    const causes = credentialTransition(from, to) ?? [];
    if (causes.includes("first-use")) return this.#activate(credential);
    if (causes.includes("deadline")) {
      if (!isPast(credential.activationDeadline, this.now)) return false;
    } else if (!causes.includes("operator")) return false;
    this.#end(credential, to);
    return true;
  }

  setIdentity(identity: ModelIdentity, to: IdentityStatus): boolean {
    if (identity.status === to) return true;
    if (identityTransition(identity.status, to) === null) return false;
    identity.status = to;
    if (to === "active") identity.resumedAt = this.#date;
    if (to === "revoked") {
      for (const credential of this.credentials.filter((each) => each.identity === identity)) {
        if (credential.status === "pending" && isPast(credential.activationDeadline, this.now)) {
          this.#end(credential, "abandoned");
        } else if (isLive(credential, this.#date)) this.#end(credential, "revoked");
      }
    }
    return true;
  }

  use(identity: ModelIdentity): boolean {
    if (identity.status === "revoked" && identity.lastUsedAt?.getTime() !== this.now) return false;
    identity.lastUsedAt = this.#date;
    return true;
  }

  /** A new end so many seconds from now. */
  shorten(row: ModelIdentity | ModelCredential, life: number): boolean {
    const end = this.#in(life);
    if (row.expiresAt?.getTime() === end.getTime()) return true;
    if (row.status === "revoked" || row.status === "abandoned") return false;
    if (row.expiresAt !== null && end > row.expiresAt) return false;
    row.expiresAt = end;
    return true;
  }

  /** The host sets `revokedAt` of the token. */
  revokeToken(credential: ModelCredential): boolean {
    if (credential.tokenRevoked) return false;
    this.#end(credential, "revoked");
    return true;
  }

  identityState(identity: ModelIdentity): EffectiveStatus {
    return effectiveIdentityStatus(chainOf(identity), this.#date);
  }

  credentialState(credential: ModelCredential): EffectiveStatus {
    return effectiveCredentialStatus(credential, chainOf(credential.identity), this.#date);
  }

  /** Everything that can be asked of the database, in the same words. */
  describe(): string[] {
    return [
      ...this.identities.map((each) => `${each.slug} ${each.status} ${this.identityState(each)}`),
      ...this.credentials.map((each) =>
        [
          each.publicId,
          each.status,
          this.credentialState(each),
          each.graceUntil?.toISOString() ?? "-",
          each.tokenRevoked,
        ].join(" "),
      ),
    ].sort();
  }

  #activate(credential: ModelCredential): boolean {
    if (!isPending(credential, this.#date) || this.identityState(credential.identity) !== "active")
      return false;
    const { replaces } = credential;
    const inTheWay = this.#siblings(credential.identity, credential.name).some(
      (each) => each !== replaces && isCurrent(each, this.#date),
    );
    if (inTheWay) return false;
    credential.status = "active";
    if (replaces !== null && (replaces.status === "active" || replaces.status === "paused")) {
      replaces.graceUntil = graceEnd(replaces, credential.graceSeconds, this.#date);
      replaces.status = "superseded";
    }
    return true;
  }

  #end(credential: ModelCredential, to: CredentialStatus): void {
    credential.status = to;
    if (to === "revoked" || to === "abandoned") credential.tokenRevoked = true;
  }

  #siblings(identity: ModelIdentity, name: string): ModelCredential[] {
    return this.credentials.filter((each) => each.identity === identity && each.name === name);
  }

  get #date(): Date {
    return new Date(this.now);
  }

  #in(seconds: number): Date {
    return new Date(this.now + seconds * 1000);
  }
}

function chainOf(identity: ModelIdentity): IdentityFacts[] {
  return identity.parent === null ? [identity] : [identity, ...chainOf(identity.parent)];
}

function hasEnded(state: EffectiveStatus): boolean {
  return state === "revoked" || state === "identity_revoked" || state === "expired";
}

function isPast(instant: Date | null, now: number): boolean {
  return instant !== null && instant.getTime() <= now;
}
