import type { Database } from "../db/database.ts";
import { type Regranted, regrant } from "../db/grants.ts";
import type { Role } from "../db/rights.ts";
import { takeTurn } from "../db/turn.ts";
import { setLockTimeout } from "../repository/claim.ts";
import { change, type Request } from "./change.ts";

export { ROLES, type Role } from "../db/rights.ts";

/** So long a lock on a host's table is waited for, ms, and so long it is tried for. */
const BRIEF = 50;
const PATIENCE = 60_000;

export interface GrantInput {
  /** Of a database role that exists. */
  readonly name: string;
  readonly roles: readonly Role[];
  /** Takes these roles away again instead. */
  readonly revoke: boolean;
}

/**
 * Gives a database role the rights of our roles, or takes them away, in one transaction with its log entry. A dry run tells
 * the SQL. Locks on a host's tables, which only row-level security needs, are as brief as those of `migrate`.
 * @throws MidctlError `not_found`, `conflict` as `regrant`; `denied` for whoever is not the owner
 */
export function grantRoles(
  db: Database,
  request: Request,
  { name, roles, revoke }: GrantInput,
): Promise<Regranted> {
  return takeTurn(
    () =>
      change(db, request, async (tx) => {
        await setLockTimeout(tx, BRIEF);
        return regrant(tx, name, (before) =>
          revoke ? before.filter((role) => !roles.includes(role)) : [...before, ...roles],
        );
      }),
    performance.now() + PATIENCE,
  );
}
