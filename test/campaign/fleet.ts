import type { Sql } from "postgres";

/** A credential as far as the campaign foresees it. */
export interface CredentialState {
  /** Public id, or null for one that is foreseen and whose id only the command knows. */
  readonly id: string | null;
  readonly name: string;
  readonly status: string;
  /** Public id of the one it replaces. */
  readonly replaces: string | null;
  /** Whether it still counts for anything: pending, active, paused or in grace. */
  readonly live: boolean;
}

/** An identity with its credentials, oldest first. */
export interface IdentityState {
  readonly slug: string;
  readonly status: string;
  readonly credentials: readonly CredentialState[];
}

/** What the campaign knows to be in the database, and which secrets it has received. */
export class Fleet {
  /** One identity each at a time; when one is revoked, the next step makes its successor. */
  readonly slots: { generation: number; state: IdentityState | null }[];
  /** Every identity there ever was, by slug. */
  readonly known = new Map<string, IdentityState>();
  /** Tokens received, by public id. */
  readonly tokens = new Map<string, string>();

  constructor(slots: number) {
    this.slots = Array.from({ length: slots }, () => ({ generation: 0, state: null }));
  }

  holds(credential: CredentialState | undefined): boolean {
    return credential?.id != null && this.tokens.has(credential.id);
  }

  receive(token: string): void {
    this.tokens.set(token.slice("mid_test_".length, "mid_test_".length + 12), token);
  }

  /** Takes over what is there. A slot goes to its next generation when its identity has ended. */
  settle(slot: number, state: IdentityState | null): void {
    const place = this.slots[slot];
    if (place === undefined) throw new Error(`there is no slot ${slot}`);
    if (state !== null) this.known.set(state.slug, state);
    const ended = state?.status === "revoked";
    if (ended) place.generation += 1;
    place.state = ended ? null : state;
  }
}

interface Row {
  readonly slug: string;
  readonly identityStatus: string;
  readonly id: string | null;
  readonly name: string;
  readonly status: string;
  readonly replaces: string | null;
  readonly live: boolean;
}

/** Identities as they are in the database: one, or all. */
export async function readFleet(sql: Sql, slug?: string): Promise<Map<string, IdentityState>> {
  const rows = await sql<Row[]>`
    SELECT i.slug, i.status AS "identityStatus", c."publicId" AS id, c.name, c.status, p."publicId" AS replaces,
           c.status IN ('pending', 'active', 'paused')
             OR (c.status = 'superseded' AND c."graceUntil" > clock_timestamp() AT TIME ZONE 'UTC') AS live
      FROM machine_identity i
      LEFT JOIN machine_identity_credential c ON c."machineIdentityId" = i.id
      LEFT JOIN machine_identity_credential p ON p.id = c."replacesId"
     WHERE ${slug === undefined ? sql`true` : sql`i.slug = ${slug}`}
     ORDER BY i.id, c.id`;
  const states = new Map<string, IdentityState & { readonly credentials: CredentialState[] }>();
  for (const { slug: name, identityStatus, ...credential } of rows) {
    const state = states.get(name) ?? { slug: name, status: identityStatus, credentials: [] };
    states.set(name, state);
    if (credential.id !== null) state.credentials.push(credential);
  }
  return states;
}

/** Whether what is there is what was foreseen: an id that was not known before stands for the one foreseen as null. */
export function isSame(
  there: IdentityState | null,
  foreseen: IdentityState | null,
  before: IdentityState | null,
): boolean {
  const known = new Set(before?.credentials.map(({ id }) => id));
  return describe(there, known) === describe(foreseen, known);
}

function describe(state: IdentityState | null, known: ReadonlySet<string | null>): string {
  if (state === null) return "absent";
  const credentials = state.credentials.map(
    ({ id, name, status, replaces }) => `${known.has(id) ? id : "new"}/${name}/${status}/${replaces ?? "-"}`,
  );
  return `${state.slug} ${state.status} ${credentials.join(" ")}`;
}

/** For a violation's sentence. */
export function tell(state: IdentityState | null): string {
  return describe(state, new Set(state?.credentials.map(({ id }) => id)));
}
