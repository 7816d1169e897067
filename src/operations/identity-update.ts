import type { Database } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import {
  findIdentity,
  type Identity,
  lockIdentity,
  settleIdentity,
  updateIdentityRow,
} from "../repository/identity.ts";
import { change, type Request } from "./change.ts";
import { notFound } from "./lookup.ts";

/** What is to differ; null leaves it as it is. */
export interface IdentityUpdate {
  readonly displayName: string | null;
  readonly owner: string | null;
  /** Labels to set; an empty object sets none. */
  readonly setLabels: Readonly<Record<string, string>>;
  readonly removeLabels: readonly string[];
  /** The whole set, in place of these two. */
  readonly labels?: Readonly<Record<string, string>> | null;
  /** Seconds from now, or a moment, RFC 3339; only sooner than before. */
  readonly expiresIn: number | null | { readonly at: string };
  /** Seconds; only shorter than before. */
  readonly idleTtl: number | null;
}

export interface IdentityUpdated {
  readonly changed: boolean;
  readonly identity: Identity;
}

/**
 * Changes what may change on an identity. Throws `not_found`; `illegal_transition` for a revoked one and for a life
 * that would grow.
 */
export function updateIdentity(
  db: Database,
  request: Request,
  slug: string,
  update: IdentityUpdate,
): Promise<IdentityUpdated> {
  return change(db, request, async (tx) => {
    const locked = await lockIdentity(tx, slug);
    if (locked === null) throw await notFound(tx, { kind: "identity", slug });
    if (locked.status === "revoked") {
      throw new MidctlError(
        "illegal_transition",
        `${slug} is revoked, which is final; nothing was changed.`,
        {
          hint: "Create a new identity.",
        },
      );
    }
    await settleIdentity(tx, slug);
    const labels = update.labels ?? relabel(locked.labels, update);
    await updateIdentityRow(tx, slug, {
      displayName: update.displayName,
      owner: update.owner,
      labels,
      expiresIn: typeof update.expiresIn === "number" ? update.expiresIn : null,
      expiresAt: typeof update.expiresIn === "object" ? (update.expiresIn?.at ?? null) : null,
      idleTtl: update.idleTtl,
    });
    const identity = await findIdentity(tx, slug);
    if (identity === null)
      throw new MidctlError("internal", `${slug} cannot be read after its change; nothing was changed.`);
    return { changed: identity.version !== locked.version, identity };
  });
}

/** The labels with those that are set and without those that are removed. */
export function relabel(
  labels: Readonly<Record<string, string>>,
  { setLabels, removeLabels }: Pick<IdentityUpdate, "setLabels" | "removeLabels">,
): Readonly<Record<string, string>> {
  const all: Record<string, string> = { ...labels, ...setLabels };
  for (const key of removeLabels) delete all[key];
  return all;
}
