import type { HostTables } from "./host-rows.ts";
import type { TableShape } from "./host-shape.ts";

/**
 * What a host's rows say of themselves in our columns, in one UPDATE for each table. A value that is there stays. Of two ends
 * the sooner holds, and of "revoked" and not, revoked: so both columns and token agree, as they do ever after.
 */

const moment = (value: string) => `date_trunc('milliseconds', ${value})`;

/** `kept` first, where the host has that column. */
function either(shape: TableShape, alias: string, kept: string, ...others: string[]): string {
  const own = shape.columns.has(kept) ? [`${alias}."${kept}"`] : [];
  const all = [...own, ...others];
  return all.length === 1 ? (all[0] as string) : `coalesce(${all.join(", ")})`;
}

/** Of defaults that an added column brings; a host's own column of that name may hold nulls. */
function defaults(shape: TableShape, alias: string, values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).flatMap(([name, value]) =>
    shape.columns.has(name) ? [`"${name}" = coalesce(${alias}."${name}", ${value})`] : [],
  );
}

/** The owner, who is mandatory: whoever made the identity, by e-mail or name; else its workspace; else unknown. */
export function fillIdentities({ identity, users, workspaces }: HostTables): string {
  if (identity === null) return "";
  const has = (name: string) => identity.columns.has(name);
  const text = (name: string) =>
    /^(text|character varying)/.test(identity.columns.get(name)?.type ?? "")
      ? [`nullif(i."${name}", '')`]
      : [];
  const creators = ["email", "name"].filter((name) => users.includes(name));
  const created = has("createdBy") && users.includes("id") && creators.length > 0;
  const placed = workspaces.includes("id") && workspaces.includes("slug");
  const owners = [
    ...text("owner"),
    ...(created ? creators.map((name) => `nullif(u."${name}"::text, '')`) : []),
    ...(placed ? ["w.slug::text"] : []),
    "'unknown'",
  ];
  const thread = has("provider") && has("threadId");
  const assignments = [
    `"displayName" = left(coalesce(${[...text("displayName"), ...text("name"), "i.slug"].join(", ")}), 255)`,
    `owner = left(coalesce(${owners.join(", ")}), 255)`,
    `kind = ${thread ? `CASE WHEN i."threadId" IS NULL THEN 'service' ELSE 'thread' END` : `'service'`}`,
    `"createdAt" = ${moment(`coalesce(i."createdAt", midctl_now())`)}`,
    `"expiresAt" = ${moment(`nullif(i."expiresAt", 'infinity')`)}`,
    `"pausedAt" = CASE WHEN i.status = 'paused' THEN ${moment(`coalesce(i."pausedAt", midctl_now())`)} END`,
    `"revokedAt" = CASE WHEN i.status = 'revoked' THEN ${moment(`coalesce(i."revokedAt", midctl_now())`)} END`,
    ...defaults(identity, "i", { labels: "'{}'", version: "1" }),
  ];
  return `UPDATE machine_identity m SET ${assignments.join(", ")}
  FROM machine_identity i${created ? ` LEFT JOIN "user" u ON u.id::text = i."createdBy"::text` : ""}${placed ? ` LEFT JOIN workspace w ON w.id = i."workspaceId"` : ""}
 WHERE m.id = i.id`;
}

/** The secret of a credential is its token's, and so are its scopes. */
export function fillCredentials({ credential }: HostTables): string {
  if (credential === null) return "";
  const end = moment(`LEAST(nullif(c."expiresAt", 'infinity'), nullif(t."expiresAt", 'infinity'))`);
  const status = `CASE WHEN t."revokedAt" IS NOT NULL AND c.status <> 'abandoned' THEN 'revoked' ELSE c.status END`;
  const issued = either(credential, "c", "issuedAt", either(credential, "c", "createdAt", `t."createdAt"`));
  const when = (state: string, value: string) => `CASE WHEN s.status = '${state}' THEN ${moment(value)} END`;
  const assignments = [
    `name = coalesce(c.name, 'default')`,
    "status = s.status",
    `"tokenHash" = t."tokenHash"`,
    "scopes = t.scopes",
    "adopted = true",
    `"issuedAt" = ${moment(issued)}`,
    `"expiresAt" = ${end}`,
    `"activatedAt" = CASE WHEN s.status IN ('active', 'paused', 'superseded') THEN ${moment(either(credential, "c", "activatedAt", issued))} END`,
    `"activationDeadline" = ${when("pending", `coalesce(c."activationDeadline", midctl_now() + interval '24 hours')`)}`,
    `"pausedAt" = ${when("paused", `coalesce(c."pausedAt", midctl_now())`)}`,
    `"supersededAt" = ${when("superseded", `coalesce(c."supersededAt", midctl_now())`)}`,
    `"graceUntil" = ${when("superseded", `coalesce(c."graceUntil", ${end})`)}`,
    `"revokedAt" = ${when("revoked", `coalesce(c."revokedAt", t."revokedAt", midctl_now())`)}`,
    `"abandonedAt" = ${when("abandoned", `coalesce(c."abandonedAt", t."revokedAt", midctl_now())`)}`,
    ...defaults(credential, "c", { version: "1", graceSeconds: "0" }),
  ];
  return `UPDATE machine_identity_credential m SET ${assignments.join(", ")}
  FROM machine_identity_credential c JOIN agent_token t ON t."publicId" = c."publicId"
  CROSS JOIN LATERAL (SELECT ${status} AS status) s
 WHERE m.id = c.id`;
}

/** A token follows its credential: identity, end and revocation. */
export const FILL_TOKENS = `UPDATE agent_token t
   SET "machineIdentityId" = c."machineIdentityId", "expiresAt" = midctl_credential_end(c),
       "revokedAt" = coalesce(t."revokedAt", c."revokedAt", c."abandonedAt")
  FROM machine_identity_credential c
 WHERE c."publicId" = t."publicId"
   AND (t."machineIdentityId", t."expiresAt", t."revokedAt")
       IS DISTINCT FROM (c."machineIdentityId", midctl_credential_end(c), coalesce(t."revokedAt", c."revokedAt", c."abandonedAt"))`;
