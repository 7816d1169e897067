import {
  type CredentialStatus,
  credentialTransition,
  type IdentityStatus,
  identityTransition,
} from "../../../src/domain/status.ts";
import { credentialId, issue, later, set, setIdentity } from "../scene.ts";
import { type Attack, MC001 } from "./attack.ts";

/** One of the world's credentials in each state. */
const CREDENTIALS: Readonly<Record<CredentialStatus, string>> = {
  pending: "pending00001",
  active: "active000001",
  paused: "paused000001",
  superseded: "grace0000001",
  revoked: "revoked00001",
  abandoned: "abandoned001",
};

const IDENTITIES: Readonly<Record<IdentityStatus, string>> = {
  active: "bare",
  paused: "still",
  revoked: "gone",
};

const CREDENTIAL_STATES = Object.keys(CREDENTIALS) as CredentialStatus[];
const IDENTITY_STATES = Object.keys(IDENTITIES) as IdentityStatus[];

/** What is legal from a state on: the twin of all that is not. */
const LEGAL: Readonly<Record<CredentialStatus, string>> = {
  pending: `${later("1 day")}; ${set(CREDENTIALS.pending, "status = 'abandoned'")}`,
  active: `${issue("new000000001", "svc", { name: "'active'", replacesId: credentialId(CREDENTIALS.active) })}; ${set("new000000001", "status = 'active'")}`,
  paused: `${issue("new000000001", "svc", { name: "'paused'", replacesId: credentialId(CREDENTIALS.paused) })}; ${set("new000000001", "status = 'active'")}`,
  superseded: set(CREDENTIALS.superseded, "status = 'revoked'"),
  revoked: set(CREDENTIALS.revoked, "status = 'revoked'"),
  abandoned: set(CREDENTIALS.abandoned, "status = 'abandoned'"),
};

/** Every pair of states that plain SQL may not connect: neither an operator's doing nor a use. */
export const TRANSITION_ATTACKS: readonly Attack[] = [
  ...CREDENTIAL_STATES.flatMap((from) =>
    CREDENTIAL_STATES.filter((to) => to !== from && !isByHand(from, to)).map((to) => ({
      refuses: `a credential that goes from ${from} to ${to}`,
      attack: set(CREDENTIALS[from], `status = '${to}'`),
      code: MC001,
      allows: `the way out of ${from} that there is`,
      twin: LEGAL[from],
    })),
  ),
  ...IDENTITY_STATES.flatMap((from) =>
    IDENTITY_STATES.filter((to) => to !== from && identityTransition(from, to) === null).map((to) => ({
      refuses: `an identity that goes from ${from} to ${to}`,
      attack: setIdentity(IDENTITIES[from], `status = '${to}'`),
      code: MC001,
      allows: `one that stays ${from}`,
      twin: setIdentity(IDENTITIES[from], `status = '${from}'`),
    })),
  ),
  {
    refuses: "a revocation that one of many rows cannot make",
    attack: "UPDATE machine_identity_credential SET status = 'revoked'",
    code: MC001,
    allows: "one that all can",
    twin: `UPDATE machine_identity_credential SET status = 'revoked' WHERE status IN ('pending', 'active', 'paused', 'superseded')`,
  },
];

/** The pairs that it may. */
export const LEGAL_TRANSITIONS: readonly {
  readonly from: string;
  readonly to: string;
  readonly sql: string;
}[] = [
  ...CREDENTIAL_STATES.flatMap((from) =>
    CREDENTIAL_STATES.filter((to) => isByHand(from, to)).map((to) => ({
      from,
      to,
      sql: set(CREDENTIALS[from], `status = '${to}'`),
    })),
  ),
  ...IDENTITY_STATES.flatMap((from) =>
    IDENTITY_STATES.filter((to) => identityTransition(from, to) !== null).map((to) => ({
      from: `identity ${from}`,
      to,
      sql: setIdentity(IDENTITIES[from], `status = '${to}'`),
    })),
  ),
];

function isByHand(from: CredentialStatus, to: CredentialStatus): boolean {
  const causes = credentialTransition(from, to) ?? [];
  return causes.includes("operator") || causes.includes("first-use");
}
