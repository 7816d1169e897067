import { randomBytes } from "node:crypto";
import type { Database, Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { createPublicId } from "../domain/token.ts";
import {
  findIdentity,
  findThread,
  type Identity,
  insertIdentity,
  lockIdentity,
  readWorkspace,
  type Workspace,
} from "../repository/identity.ts";
import { change, type Request } from "./change.ts";
import { notFound } from "./lookup.ts";

/** What an identity is to be. `null` where the command did not say: then a default, or whatever is there. */
export interface IdentitySpec {
  readonly slug: string;
  readonly kind: "service" | "thread";
  readonly provider: string | null;
  readonly threadId: string | null;
  readonly owner: string | null;
  readonly displayName: string | null;
  readonly labels: Readonly<Record<string, string>> | null;
  readonly parent: string | null;
  readonly workspace: string | null;
  /** Seconds from creation; or a moment, RFC 3339. */
  readonly expiresIn: number | null | { readonly at: string };
  /** Seconds. */
  readonly idleTtl: number | null;
  /** Of one that is made; else a new one. */
  readonly publicId?: string;
}

export interface IdentityCreated {
  readonly created: boolean;
  readonly identity: Identity;
}

/**
 * Creates a machine identity. With `ifNotExists` one that is there already, with every attribute that was given, is
 * no error. Throws `conflict` for one that is there (and differs), `not_found` for a parent that is not.
 */
export function createIdentity(
  db: Database,
  request: Request,
  spec: IdentitySpec,
  options: { readonly ifNotExists: boolean },
): Promise<IdentityCreated> {
  return change(db, request, async (tx) => {
    const result = await ensureIdentity(tx, request.actor.name, spec);
    if (!result.created && !options.ifNotExists) {
      throw new MidctlError(
        "conflict",
        `The machine identity ${result.identity.slug} exists already; nothing was changed.`,
        {
          hint: "Give --if-not-exists where that is fine, or choose another slug.",
          details: { slug: result.identity.slug },
        },
      );
    }
    return result;
  });
}

/**
 * Gets or creates, inside the caller's transaction; leaves the identity locked. One that differs in an attribute that
 * was given is a `conflict` that names each difference.
 */
export async function ensureIdentity(tx: Tx, actor: string, spec: IdentitySpec): Promise<IdentityCreated> {
  const [existing, workspace] = await Promise.all([
    lockIdentity(tx, spec.slug),
    readWorkspace(tx, spec.workspace),
  ]);
  if (existing !== null) return { created: false, identity: requireSame(existing, spec) };
  if (spec.owner === null) {
    throw new MidctlError("usage", `${spec.slug} is new and needs an owner; nothing was created.`, {
      hint: "Give --owner: the person or team that answers for it.",
    });
  }
  if (spec.parent !== null && (await findIdentity(tx, spec.parent)) === null) {
    throw await notFound(tx, { kind: "identity", slug: spec.parent });
  }
  requireWorkspace(workspace, spec.workspace);
  const [made, identity] = await Promise.all([
    insertIdentity(tx, {
      publicId: spec.publicId ?? createPublicId(randomBytes),
      slug: spec.slug,
      displayName: spec.displayName ?? spec.slug,
      kind: spec.kind,
      provider: spec.provider,
      threadId: spec.threadId,
      owner: spec.owner,
      labels: spec.labels ?? {},
      parent: spec.parent,
      workspace: spec.workspace,
      expiresIn: typeof spec.expiresIn === "number" ? spec.expiresIn : null,
      expiresAt: typeof spec.expiresIn === "object" ? (spec.expiresIn?.at ?? null) : null,
      idleTtl: spec.idleTtl,
      createdBy: actor,
    }),
    lockIdentity(tx, spec.slug),
  ]);
  if (identity !== null) return { created: made, identity: made ? identity : requireSame(identity, spec) };
  const other =
    spec.provider === null || spec.threadId === null
      ? null
      : await findThread(tx, spec.provider, spec.threadId);
  if (other === null) {
    throw new MidctlError(
      "conflict",
      `${spec.slug} was not created: something else took its place meanwhile.`,
      {
        hint: "Run the command again.",
      },
    );
  }
  throw new MidctlError(
    "conflict",
    `The thread ${spec.threadId} of ${spec.provider} is ${other.slug} already; nothing was created.`,
    { hint: `Use ${other.slug}.`, details: { slug: other.slug } },
  );
}

/** The identity, where it has every attribute that was given; else a `conflict` that names each difference. */
export function requireSame(existing: Identity, spec: IdentitySpec): Identity {
  const differences = differencesFrom(existing, spec);
  if (differences.length === 0) return existing;
  throw new MidctlError(
    "conflict",
    `The machine identity ${existing.slug} exists and differs in ${differences.join(", ")}; nothing was changed.`,
    { hint: `midctl identity show ${existing.slug}`, details: { slug: existing.slug, differences } },
  );
}

/** Names of the attributes that were given and are others; what was not given is null and fits anything. */
export function differencesFrom(existing: Identity, spec: IdentitySpec): readonly string[] {
  const lifetime =
    existing.expiresAt === null
      ? null
      : (Date.parse(existing.expiresAt) - Date.parse(existing.createdAt)) / 1000;
  const differences: string[] = [];
  const compare = (name: string, wanted: unknown, found: unknown): void => {
    if (wanted !== null && wanted !== found) differences.push(name);
  };
  compare("kind", spec.kind, existing.kind);
  compare("provider", spec.provider, existing.provider);
  compare("threadId", spec.threadId, existing.threadId);
  compare("owner", spec.owner, existing.owner);
  compare("displayName", spec.displayName, existing.displayName);
  compare("labels", spec.labels && canonical(spec.labels), canonical(existing.labels));
  compare("parent", spec.parent, existing.parent);
  compare("workspace", spec.workspace, existing.workspace);
  compare("idleTtl", spec.idleTtl, existing.idleTtl);
  if (typeof spec.expiresIn === "object")
    compare("expiresAt", spec.expiresIn?.at ?? null, existing.expiresAt);
  // The end was counted from a moment just before the birth.
  else if (lifetime === null || Math.abs(lifetime - spec.expiresIn) > 1) differences.push("expiresAt");
  return differences;
}

function canonical(labels: Readonly<Record<string, string>>): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What speaks against a new identity in that workspace. Throws `usage`, `not_found`. */
export function requireWorkspace({ hosted, exists }: Workspace, slug: string | null): void {
  if (hosted && slug === null) {
    throw new MidctlError(
      "usage",
      "This database has workspaces, and every identity belongs to one; nothing was created.",
      {
        hint: "Give --workspace SLUG.",
      },
    );
  }
  if (!hosted && slug !== null) {
    throw new MidctlError("usage", "This database has no workspaces; nothing was created.", {
      hint: "Leave --workspace out.",
    });
  }
  if (hosted && !exists) {
    throw new MidctlError(
      "not_found",
      `There is no workspace ${slug} in this database; nothing was created.`,
    );
  }
}
