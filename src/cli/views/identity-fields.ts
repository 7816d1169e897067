import { formatDuration } from "../../domain/duration.ts";
import type { IdentityDocument } from "../documents.ts";
import { type Cell, status, time } from "../view.ts";

/** One identity, a line per attribute; what it does not have is left out. */
export function identityFields(identity: IdentityDocument): readonly (readonly [string, Cell])[] {
  const labels = Object.entries(identity.labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(" ");
  const all: readonly (readonly [string, Cell])[] = [
    ["identity", identity.slug],
    ["name", identity.displayName === identity.slug ? null : identity.displayName],
    ["status", status(identity.effectiveStatus)],
    ["kind", identity.kind],
    ["provider", identity.provider],
    ["thread", identity.threadId],
    ["owner", identity.owner],
    ["labels", labels === "" ? null : labels],
    ["parent", identity.parent],
    ["workspace", identity.workspace],
    ["created", time(identity.createdAt)],
    ["by", identity.createdBy],
    ["last used", time(identity.lastUsedAt)],
    ["expires", time(identity.expiresAt)],
    ["idle after", identity.idleTtl === null ? null : formatDuration(identity.idleTtl)],
    ["paused", time(identity.pausedAt)],
    ["revoked", time(identity.revokedAt)],
  ];
  return all.filter(([, value]) => value !== null);
}
