import { hashOf, insert } from "./scene.ts";

/** SQL for plans, votes and lines, as somebody with a psql prompt would write it; of signatures the database knows nothing. */

/** What a line says, as SQL expressions of jsonb. */
export interface Line {
  readonly do: string;
  /** Slug. */
  readonly identity?: string;
  /** Public id, without prefix. */
  readonly credential?: string;
  /** Whose hash the line is committed to: a public id, as `hashOf` has it. */
  readonly secret?: string;
}

/** A plan's fields, as SQL; the rest is as it should be. */
export type Fields = Readonly<Record<string, string>>;

export function at(interval: string): string {
  return `midctl_instant(midctl_now() + interval '${interval}')`;
}

/** The lines of a plan, as SQL. */
export function lines(...of: readonly Line[]): string {
  const written = of.map(
    ({ do: does, identity, credential, secret }) => `jsonb_build_object('do', '${does}',
      'identity', ${identity === undefined ? "NULL::jsonb" : `jsonb_build_object('publicId', '${hashOf(identity).slice(0, 12)}')`},
      'credential', ${credential === undefined ? "NULL::jsonb" : `jsonb_build_object('id', 'mc_${credential}')`},
      'token', ${secret === undefined ? "NULL::jsonb" : `jsonb_build_object('secret', midctl_commitment('${hashOf(secret)}'))`})`,
  );
  return `jsonb_build_array(${written.join(", ")})`;
}

/** The text of a plan, as SQL. */
function planText(id: string, of: string, fields: Fields): string {
  const said: Fields = {
    id: `'ap_${id}'`,
    action: "'testing'",
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
  const pairs = Object.entries(said).map(([name, value]) => `'${name}', ${value}`);
  return `(SELECT jsonb_build_object(${pairs.join(", ")})::text)`;
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

/** Protects the world of scene.ts, all that is alive in it covered by a plan; as if that had been another transaction. */
export const PROTECT = [
  request(
    "protect00001",
    `(SELECT jsonb_agg(jsonb_build_object('do', 'environment.protect', 'identity', NULL,
        'credential', jsonb_build_object('id', 'mc_' || "publicId"),
        'token', jsonb_build_object('secret', midctl_commitment("tokenHash")))) FROM agent_token)`,
  ),
  vote("protect00001", "approval", "bob"),
  take("protect00001"),
  "UPDATE midctl_environment SET protected = true",
  `ALTER TABLE midctl_approval_line DISABLE TRIGGER USER`,
  `UPDATE midctl_approval_line SET transaction = NULL WHERE "approvalId" = ${approvalId("protect00001")}`,
  ...["midctl_10_guard", "midctl_20_ended", "midctl_90_keep", "midctl_90_keep_all"].map(
    (trigger) => `ALTER TABLE midctl_approval_line ENABLE ALWAYS TRIGGER ${trigger}`,
  ),
].join(";\n");
