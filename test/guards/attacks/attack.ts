import { idOf, setIdentity, setToken } from "../scene.ts";

/** An attack on one clause, and the nearest thing to it that is legal. Both run on the world of scene.ts. */
export interface Attack {
  /** What is refused, as a title. */
  readonly refuses: string;
  readonly given?: string;
  readonly attack: string;
  /** SQLSTATE. */
  readonly code: string;
  /** What is not, as a title. */
  readonly allows: string;
  readonly twin: string;
}

export const MC001 = "MC001";
export const MC002 = "MC002";
export const MC003 = "MC003";
export const MC004 = "MC004";
export const MC005 = "MC005";
export const UNIQUE = "23505";
export const CHECK = "23514";

/** Columns that never change, each with another value that would otherwise fit. */
export function immutable(
  what: string,
  update: (assignment: string) => string,
  columns: Readonly<Record<string, string>>,
  twin: string,
): Attack[] {
  return Object.entries(columns).map(([column, value]) => ({
    refuses: `another ${column} of ${what}`,
    attack: update(`"${column}" = ${value}`),
    code: MC003,
    allows: "a change of what may change",
    twin: update(twin),
  }));
}

export const LEGACY_FACTS = {
  adopted: "true",
  status: "'active'",
  activationDeadline: "NULL",
  expiresAt: "NULL",
  scopes: `'["cards:read"]'`,
};
export const ATTACH = setToken("legacy000001", `"machineIdentityId" = ${idOf("bare")}`);

/** A change that nothing stands against. */
export const HARMLESS = setIdentity("svc", "owner = 'another'");
