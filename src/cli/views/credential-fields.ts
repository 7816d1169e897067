import type { CredentialDocument } from "../documents.ts";
import { type Cell, status, time } from "../view.ts";

/** One credential, a line per attribute; what it does not have is left out. */
export function credentialFields(credential: CredentialDocument): readonly (readonly [string, Cell])[] {
  const pending = credential.effectiveStatus === "pending";
  const all: readonly (readonly [string, Cell])[] = [
    ["credential", credential.id],
    ["identity", credential.identity],
    ["name", credential.name],
    ["status", status(credential.effectiveStatus)],
    ["scopes", credential.scopes.length === 0 ? null : credential.scopes.join(" ")],
    ["issued", time(credential.issuedAt)],
    ["by", credential.issuedBy],
    ["replaces", credential.replaces],
    ["first use by", pending ? time(credential.activationDeadline) : null],
    ["activated", time(credential.activatedAt)],
    ["last used", time(credential.lastUsedAt)],
    ["expires", time(credential.expiresAt)],
    ["grace until", time(credential.graceUntil)],
    ["paused", time(credential.pausedAt)],
    ["revoked", time(credential.revokedAt)],
  ];
  return all.filter(([, value]) => value !== null);
}

export const CREDENTIAL_COLUMNS = [
  { title: "CREDENTIAL", fixed: true },
  { title: "IDENTITY", fixed: true },
  { title: "NAME" },
  { title: "STATUS", fixed: true },
  { title: "SCOPES", optional: true },
  { title: "ISSUED", optional: true },
  { title: "LAST USED", optional: true },
  { title: "EXPIRES" },
] as const;

/** One credential as a row under `CREDENTIAL_COLUMNS`. */
export function credentialRow(credential: CredentialDocument): readonly Cell[] {
  return [
    credential.id,
    credential.identity,
    credential.name,
    status(credential.effectiveStatus),
    credential.scopes.join(" "),
    time(credential.issuedAt),
    time(credential.lastUsedAt),
    time(credential.graceUntil ?? credential.expiresAt),
  ];
}
