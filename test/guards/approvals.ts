import { hashOf, insert } from "./scene.ts";

/** SQL for plans, votes and lines, as somebody with a psql prompt would write it; of signatures the database knows nothing. */

/** What a line says. */
export interface Line {
  readonly do: string;
  /** Slug. */
  readonly identity?: string;
  /** The slug as people read it, where that is another's. */
  readonly reads?: string;
  /** Public id, without prefix. */
  readonly credential?: string;
  /** Whose hash the line is committed to: a public id, as `hashOf` has it. */
  readonly secret?: string;
  /** How many changes ago the plan was made. */
  readonly stale?: number;
  /** What else it says, as SQL expressions. */
  readonly terms?: Fields;
}

/** A plan's fields, as SQL; the rest is as it should be. */
export type Fields = Readonly<Record<string, string>>;

export function at(interval: string): string {
  return `midctl_instant(midctl_now() + interval '${interval}')`;
}

/** The lines of a plan, as SQL. */
export function lines(...of: readonly Line[]): string {
  return `jsonb_build_array(${of.map(line).join(", ")})`;
}

function line({ do: does, identity, reads, credential, secret, stale = 0, terms = {} }: Line): string {
  const versionOf = (table: string, publicId: string) =>
    `(SELECT version - ${stale} FROM ${table} WHERE "publicId" = '${publicId}')`;
  const id = hashOf(identity ?? "").slice(0, 12);
  return object({
    do: `'${does}'`,
    identity:
      identity === undefined
        ? NOTHING
        : object({
            slug: `'${reads ?? identity}'`,
            publicId: `'${id}'`,
            version: versionOf("machine_identity", id),
          }),
    credential:
      credential === undefined
        ? NOTHING
        : object({
            id: `'${credential.startsWith("legacy") ? "at" : "mc"}_${credential}'`,
            version: versionOf("machine_identity_credential", credential),
          }),
    token: secret === undefined ? NOTHING : tokenTerms(`midctl_commitment('${hashOf(secret)}')`),
    ...terms,
  });
}

/** What a line says of a token, of no scopes. @param secret SQL, the commitment */
export function tokenTerms(secret: string, notAfter = `'${NOT_AFTER}'`): string {
  return object({ secret, scopes: "'[]'::jsonb", notAfter });
}

/** The end of tokens that lines issue. */
export const NOT_AFTER = "2030-01-01T00:00:00.000Z";
/** The same as a column of a credential. */
export const ENDS = { expiresAt: "'2030-01-01'" };

/** What a line says that issues under the default name. */
export const ISSUES: Fields = { name: "'default'", activateWithin: "86400", create: "NULL::jsonb" };

/** What a line says of the identity that it makes, as `identity` of scene.ts makes it. */
export function creation(slug: string, fields: Fields = {}): string {
  return object({
    ...{ kind: "'service'", provider: NOTHING, threadId: NOTHING, displayName: `'${slug}'` },
    ...{ owner: "'somebody'", labels: "'{}'::jsonb", parent: NOTHING, workspace: NOTHING },
    ...{ expiresAt: NOTHING, idleTtl: NOTHING, ...fields },
  });
}

/** What a line says that updates: the fields named, and all others as they are. */
export function updates(fields: Fields): Fields {
  const all = { displayName: NOTHING, owner: NOTHING, labels: NOTHING, expiresAt: NOTHING, idleTtl: NOTHING };
  return { set: object({ ...all, ...fields }) };
}

const NOTHING = "NULL::jsonb";

export function object(fields: Fields): string {
  const pairs = Object.entries(fields).map(([name, value]) => `'${name}', ${value}`);
  return `jsonb_build_object(${pairs.join(", ")})`;
}

/** The text of a plan, as SQL. */
function planText(id: string, of: string, fields: Fields): string {
  const said: Fields = {
    id: `'ap_${id}'`,
    action: `${of} -> 0 ->> 'do'`,
    requester: "'alice'",
    environment: `jsonb_build_object('databaseId', (SELECT "databaseId" FROM midctl_environment))`,
    requestedAt: at("0"),
    approveBy: at("1 hour"),
    executeBy: at("2 hours"),
    breakGlass: "NULL::jsonb",
    lines: of,
    // For the request to find it by, whatever else is said.
    nonce: `'${id}'`,
    ...fields,
  };
  return `(SELECT ${object(said)}::text)`;
}

/** A plan, and the request for it. @param hashes JSON, what tokens are kept as */
export function request(
  id: string,
  of: string,
  { fields = {} as Fields, quorum = 1, hashes = "[]" } = {},
): string {
  return `INSERT INTO midctl_plan (digest, plan, hashes)
            SELECT encode(sha256(convert_to(t, 'UTF8')), 'hex'), t, '${hashes}' FROM ${planText(id, of, fields)} p(t);
          ${open(`(SELECT digest FROM midctl_plan WHERE plan LIKE '%"nonce": "${id}"%')`, quorum)}`;
}

/** The request for a plan that is kept; what else is given of it is not looked at. */
export function open(digest: string, quorum = 1): string {
  return insert("midctl_approval", {
    ...{ digest, quorum: String(quorum), publicId: "''", action: "''", requester: "''" },
    ...{ lines: "0", remaining: "0", requestedAt: "now()", approveBy: "now()", executeBy: "now()" },
  });
}

export function approvalId(id: string): string {
  return `(SELECT id FROM midctl_approval WHERE "publicId" = '${id}')`;
}

export function vote(id: string, kind: string, principal: string, key = "a key"): string {
  return insert("midctl_approval_vote", {
    ...{ approvalId: approvalId(id), kind: `'${kind}'`, principal: `'${principal}'` },
    ...{ keyFingerprint: `'${key}'`, signature: `'${principal} by ${key}'` },
  });
}

/** Uses lines up: by this transaction, which may then do what they say. */
export function take(id: string, outcome = "'done'"): string {
  return `UPDATE midctl_approval_line SET outcome = ${outcome} WHERE "approvalId" = ${approvalId(id)}`;
}

/** Everything that lets this transaction do what the lines say. */
export function permit(...of: readonly Line[]): string {
  return permitAs("permit000001", ...of);
}

/** The same by a request of that id: for who permits more than once. */
export function permitAs(id: string, ...of: readonly Line[]): string {
  return [approved(id, ...of), take(id)].join(";\n");
}

/** A request with its approval, which waits to be carried out. */
export function approved(id: string, ...of: readonly Line[]): string {
  return [request(id, lines(...of)), vote(id, "approval", "bob")].join(";\n");
}

/** What a line says that covers a token of `agent_token`, which ends a day sooner by it. */
const COVER = object({
  do: "'environment.protect'",
  identity: NOTHING,
  credential: object({ id: `'mc_' || "publicId"` }),
  token: tokenTerms(
    `midctl_commitment("tokenHash")`,
    `coalesce(midctl_instant("expiresAt" - interval '1 day'), '${NOT_AFTER}')`,
  ),
});

/** Protects the world of scene.ts, all that is alive in it covered by a plan, in one transaction. */
export const PROTECT_NOW = [
  request("protect00001", `(SELECT jsonb_agg(${COVER}) FROM agent_token)`),
  vote("protect00001", "approval", "bob"),
  take("protect00001"),
  "UPDATE midctl_environment SET protected = true",
].join(";\n");

/** The same as if that had been another transaction. */
export const PROTECT = [
  PROTECT_NOW,
  // What waits for the commit stands against ALTER TABLE.
  "SET CONSTRAINTS ALL IMMEDIATE",
  "SET CONSTRAINTS ALL DEFERRED",
  `ALTER TABLE midctl_approval_line DISABLE TRIGGER USER`,
  `UPDATE midctl_approval_line SET transaction = NULL WHERE "approvalId" = ${approvalId("protect00001")}`,
  ...["10_guard", "20_ended", "30_used", "90_keep", "90_keep_all"].map(
    (trigger) => `ALTER TABLE midctl_approval_line ENABLE ALWAYS TRIGGER midctl_${trigger}`,
  ),
].join(";\n");
