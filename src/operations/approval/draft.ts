import { randomBytes } from "node:crypto";
import type { Tx } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import { addSeconds } from "../../domain/instant.ts";
import { commitToHash } from "../../domain/plan.ts";
import { formatReference } from "../../domain/reference.ts";
import { createPublicId } from "../../domain/token.ts";
import { findCredential, readLive } from "../../repository/credential.ts";
import { findIdentity, type Identity } from "../../repository/identity.ts";
import { readMoment } from "../../repository/moment.ts";
import { readTokenHash } from "../../repository/token.ts";
import { toScopes } from "../../repository/token-facts.ts";
import type { PlannedAdoption } from "../adoption-apply.ts";
import type { ControlStatus, Target } from "../control.ts";
import type { Rotation } from "../credential-rotate.ts";
import type { GrantInput } from "../db-grant.ts";
import { type Adoption, previewAdoption } from "../identity-adopt.ts";
import type { IdentitySpec } from "../identity-create.ts";
import { previewImport } from "../identity-import.ts";
import { type IdentityUpdate, relabel } from "../identity-update.ts";
import type { ImportFile } from "../import-file.ts";
import { type ImportOptions, issuanceOf } from "../import-judge.ts";
import { type Issuance, requireKind, type Seen } from "../issuance.ts";
import { notFound, requireEnvironment } from "../lookup.ts";
import type { Creation, IdentityTarget, LineOf, PlanLine } from "./plan.ts";

/** What a gated command would do, as lines of a plan: every default said, every duration a moment. */

export interface Draft {
  readonly line: PlanLine;
  /** What the line's token is kept as, hex; null where none is issued. */
  readonly hash: string | null;
}

const CONTROL = { paused: "pause", active: "resume", revoked: "revoke" } as const;

/** Pausing, resuming or revoking one target as it was read. A legacy token has nothing that a version could tell of. */
export async function draftControl(tx: Tx, target: Target, status: ControlStatus): Promise<Draft> {
  const { reference } = target;
  const base = { do: CONTROL[status], token: null, from: target.status };
  if (reference.kind === "identity") {
    const identity = await targetIdentity(tx, reference.slug);
    return {
      line: { ...base, identity: { ...identity, version: target.version }, credential: null },
      hash: null,
    };
  }
  const publicId = (reference as { readonly publicId: string }).publicId;
  const owned = await findCredential(tx, publicId);
  const credential =
    owned === null
      ? { id: formatReference(reference), version: null }
      : { id: owned.id, version: target.version };
  return { line: { ...base, identity: null, credential }, hash: null };
}

/**
 * The same of many. What stands so already is left out, since a line that does nothing is not used up; and one after the
 * other, since thousands at once would all be held in memory.
 */
export async function draftControls(
  tx: Tx,
  targets: readonly Target[],
  status: ControlStatus,
): Promise<Draft[]> {
  const drafts: Draft[] = [];
  for (const target of targets) {
    if (target.status !== status) drafts.push(await draftControl(tx, target, status));
  }
  return drafts;
}

export async function draftCreation(tx: Tx, spec: IdentitySpec): Promise<Draft> {
  const { identity, create } = await creationOf(tx, spec);
  return { line: { do: "identity.create", identity, create, credential: null, token: null }, hash: null };
}

export async function draftUpdate(tx: Tx, slug: string, update: IdentityUpdate): Promise<Draft> {
  const identity = await requireIdentity(tx, slug);
  const touched = Object.keys(update.setLabels).length + update.removeLabels.length > 0;
  return {
    line: {
      do: "identity.update",
      identity: targetOf(identity),
      credential: null,
      token: null,
      set: {
        displayName: update.displayName,
        owner: update.owner,
        labels: update.labels ?? (touched ? { ...relabel(identity.labels, update) } : null),
        expiresAt: await momentOf(tx, update.expiresIn),
        idleTtl: update.idleTtl,
      },
    },
    hash: null,
  };
}

export async function draftIssue(tx: Tx, issuance: Issuance, seen: Seen): Promise<Draft> {
  requireKind(issuance.secret, seen.environment.kind, "requested");
  const slug = typeof issuance.identity === "string" ? issuance.identity : issuance.identity.slug;
  const existing = await findIdentity(tx, slug);
  if (existing === null && typeof issuance.identity === "string") {
    throw await notFound(tx, { kind: "identity", slug });
  }
  const made =
    existing === null && typeof issuance.identity !== "string"
      ? await creationOf(tx, issuance.identity)
      : null;
  return {
    line: {
      do: "credential.issue",
      identity: made?.identity ?? targetOf(existing as Identity),
      create: made?.create ?? null,
      credential: { id: `mc_${issuance.secret.publicId}`, version: null },
      token: await termsOf(tx, issuance, issuance.scopes ?? []),
      name: issuance.name,
      activateWithin: issuance.activateWithin,
      replacesPending: issuance.replacePending ? (seen.holders.pending?.id ?? null) : null,
    },
    hash: issuance.secret.hash,
  };
}

/**
 * The lines of an import that would make something, each a line of the plan: so a parent must be there before, and one plan
 * either creates or issues.
 */
export async function draftImport(tx: Tx, file: ImportFile, options: ImportOptions): Promise<Draft[]> {
  const refuse = (what: string, hint: string): MidctlError =>
    new MidctlError("usage", `Where approvals are needed ${what}; nothing was requested.`, { hint });
  if (options.keepGoing) {
    throw refuse("every line of an import is right, or none is asked for", "Leave out --keep-going.");
  }
  if (file.credentials === "some") {
    throw refuse(
      "either every line of an import has a credential, or none has",
      "Import those without one by themselves, and then the others.",
    );
  }
  const lines = await previewImport(tx, file, options);
  const made = new Map(lines.map(({ line, spec }) => [spec.slug, line]));
  const environment = await requireEnvironment(tx);
  const drafts: Draft[] = [];
  for (const { line, spec, credential } of lines) {
    const parent = spec.parent === null ? undefined : made.get(spec.parent);
    if (parent !== undefined) {
      throw refuse(
        `each line stands alone, and line ${line} needs its parent ${spec.parent} from line ${parent}`,
        "Import the parents first, and their children when that is carried out.",
      );
    }
    drafts.push(
      credential === null
        ? await draftCreation(tx, spec)
        : await draftIssue(tx, issuanceOf(spec, credential), {
            environment,
            holders: { current: null, pending: null },
          }),
    );
  }
  return drafts;
}

export async function draftRotation(tx: Tx, rotation: Rotation, seen: Seen): Promise<Draft> {
  requireKind(rotation.secret, seen.environment.kind, "requested");
  const slug = typeof rotation.identity === "string" ? rotation.identity : rotation.identity.slug;
  const identity = await requireIdentity(tx, slug);
  const live = rotation.compromised ? await readLive(tx, slug, rotation.name) : [];
  const latest = live[0] === undefined ? null : await findCredential(tx, live[0]);
  const replaced = seen.holders.current ?? latest;
  if (replaced === null) {
    throw new MidctlError(
      "conflict",
      `${slug} has no current credential named ${rotation.name} to rotate; nothing was requested.`,
    );
  }
  return {
    line: {
      do: "credential.rotate",
      identity: targetOf(identity),
      credential: { id: `mc_${rotation.secret.publicId}`, version: null },
      token: await termsOf(tx, rotation, rotation.scopes ?? replaced.scopes),
      name: rotation.name,
      activateWithin: rotation.activateWithin,
      replaces: { id: replaced.id, version: replaced.version },
      replacesPending:
        rotation.replacePending && !rotation.compromised ? (seen.holders.pending?.id ?? null) : null,
      grace: rotation.grace,
      revokes: live.map((publicId) => `mc_${publicId}`),
    },
    hash: rotation.secret.hash,
  };
}

export async function draftAdoption(tx: Tx, adoption: Adoption): Promise<Draft> {
  const token = await previewAdoption(tx, adoption.token);
  const hash = await readTokenHash(tx, adoption.token);
  if (hash === null) throw await notFound(tx, { kind: "token", publicId: adoption.token });
  if (token.expiresAt === null) {
    throw new MidctlError(
      "conflict",
      `at_${adoption.token} has no end, and in a protected environment every credential has one; it was not adopted.`,
      { hint: "Give it one first: midctl token sunset --after DATE" },
    );
  }
  const slug = typeof adoption.identity === "string" ? adoption.identity : adoption.identity.slug;
  const existing = await findIdentity(tx, slug);
  const made =
    existing === null && typeof adoption.identity !== "string"
      ? await creationOf(tx, {
          ...adoption.identity,
          displayName: adoption.identity.displayName ?? token.name,
          workspace: token.workspace,
        })
      : null;
  const identity = made?.identity ?? targetOf(await requireIdentity(tx, slug));
  return {
    line: {
      do: "identity.adopt",
      identity,
      create: made?.create ?? null,
      credential: { id: `at_${adoption.token}`, version: null },
      token: { secret: commitToHash(hash), scopes: [...toScopes(token.scopes)], notAfter: token.expiresAt },
      name: adoption.name ?? "default",
    },
    hash: null,
  };
}

/** @param endsAt RFC 3339 */
export function draftSunset(endsAt: string): Draft {
  return { line: { do: "token.sunset", identity: null, credential: null, token: null, endsAt }, hash: null };
}

export function draftGrant({ name, roles, revoke }: GrantInput): Draft {
  const line = { identity: null, credential: null, token: null, role: name, roles: [...roles], revoke };
  return { line: { do: "environment.grant", ...line }, hash: null };
}

/** Many adoptions at once, each a line of its own: so each token has an identity of its own. */
export async function draftAdoptions(tx: Tx, plan: readonly PlannedAdoption[]): Promise<Draft[]> {
  const slugs = new Set<string>();
  const drafts: Draft[] = [];
  for (const { token, slug, credential, displayName, owner, labels, workspace } of plan) {
    if (slugs.has(slug)) {
      throw new MidctlError(
        "usage",
        `${slug} takes in several tokens of this plan, and where approvals are needed each line stands alone; nothing was requested.`,
        { hint: "Give each its own slug, or request them one after the other." },
      );
    }
    slugs.add(slug);
    const existing = await findIdentity(tx, slug);
    drafts.push(
      await draftAdoption(tx, {
        token,
        name: credential,
        identity:
          existing !== null
            ? slug
            : {
                slug,
                kind: "service",
                provider: null,
                threadId: null,
                owner,
                displayName,
                labels,
                parent: null,
                workspace,
                expiresIn: null,
                idleTtl: null,
              },
      }),
    );
  }
  return drafts;
}

async function creationOf(
  tx: Tx,
  spec: IdentitySpec,
): Promise<{ readonly identity: IdentityTarget; readonly create: Creation }> {
  if (spec.owner === null) {
    throw new MidctlError("usage", `${spec.slug} is new and needs an owner; nothing was requested.`, {
      hint: "Give --owner: the person or team that answers for it.",
    });
  }
  return {
    identity: { slug: spec.slug, publicId: spec.publicId ?? createPublicId(randomBytes), version: null },
    create: {
      kind: spec.kind,
      provider: spec.provider,
      threadId: spec.threadId,
      displayName: spec.displayName ?? spec.slug,
      owner: spec.owner,
      labels: { ...spec.labels },
      parent: spec.parent,
      workspace: spec.workspace,
      expiresAt: await momentOf(tx, spec.expiresIn),
      idleTtl: spec.idleTtl,
    },
  };
}

async function termsOf(
  tx: Tx,
  { secret, expiresIn }: Issuance,
  scopes: readonly string[],
): Promise<LineOf<"credential.issue">["token"]> {
  const notAfter = expiresIn === "never" ? null : await momentOf(tx, expiresIn);
  if (notAfter === null) {
    throw new MidctlError(
      "usage",
      "In a protected environment every credential has an end; nothing was requested.",
      { hint: "Give --expires a duration, such as 90d." },
    );
  }
  return { secret: commitToHash(secret.hash), scopes: [...scopes], notAfter };
}

async function momentOf(tx: Tx, end: number | null | { readonly at: string }): Promise<string | null> {
  if (end === null) return null;
  return typeof end === "object" ? end.at : addSeconds((await readMoment(tx)).now, end);
}

async function targetIdentity(tx: Tx, slug: string): Promise<IdentityTarget> {
  return targetOf(await requireIdentity(tx, slug));
}

async function requireIdentity(tx: Tx, slug: string): Promise<Identity> {
  const identity = await findIdentity(tx, slug);
  if (identity === null) throw await notFound(tx, { kind: "identity", slug });
  return identity;
}

function targetOf({ slug, publicId, version }: Identity): IdentityTarget {
  return { slug, publicId, version };
}
