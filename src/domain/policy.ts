import { MidctlError } from "./errors.ts";
import { quote } from "./visible.ts";

/** What `policy.json` of a trust directory demands (SPEC §9). */
export interface Policy {
  /** How many principals must approve, the requester not among them; at least 1. */
  readonly quorum: number;
  /** Whether a request counts only with its requester's own signature. */
  readonly requesterSigns: boolean;
  /** Principals who may break the glass. */
  readonly breakGlass: readonly string[];
  /** Ids of the databases whose plans are believed; null: any. */
  readonly databases: readonly string[] | null;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const MEMBERS = ["quorum", "requesterSigns", "breakGlass", "databases"];
const EXAMPLE = '{"quorum":1,"requesterSigns":true,"breakGlass":["alice@example.com"],"databases":["…"]}';

/**
 * The policy of `policy.json`: quorum 1, signed requests, nobody for break-glass and any database, unless it says otherwise.
 * Throws `usage` for an unknown or doubled member and a wrong type: a policy that is misread would permit too much.
 */
export function parsePolicy(text: string, file = "policy.json"): Policy {
  const refuse = (what: string, hint = `It reads like ${EXAMPLE}`): MidctlError =>
    new MidctlError("usage", `${file}: ${what}; the policy was not taken.`, { hint });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refuse("it is no JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw refuse("it is no JSON object");
  const given = new Map<string, unknown>(Object.entries(value));
  const stranger = [...given.keys()].find((name) => !MEMBERS.includes(name));
  if (stranger !== undefined) {
    throw refuse(`${quote(stranger)} is unknown`, `Members are ${MEMBERS.join(", ")}, spelt exactly so.`);
  }
  const quorum = given.has("quorum") ? given.get("quorum") : 1;
  if (typeof quorum !== "number" || !Number.isSafeInteger(quorum) || quorum < 1) {
    throw refuse("quorum is no whole number of at least 1");
  }
  const requesterSigns = given.has("requesterSigns") ? given.get("requesterSigns") : true;
  if (typeof requesterSigns !== "boolean") throw refuse("requesterSigns is neither true nor false");
  const breakGlass = readNames(given.has("breakGlass") ? given.get("breakGlass") : []);
  if (breakGlass === null) throw refuse("breakGlass is no list of names, each once");
  const databases = given.get("databases") ?? null;
  const ids = databases === null ? null : readNames(databases);
  if (databases !== null && (ids === null || ids.length === 0 || !ids.every((id) => UUID.test(id)))) {
    throw refuse(
      "databases is no list of database ids, each once",
      "Ids are lower-case UUIDs. Leave databases out where any database is to be believed.",
    );
  }
  // Last, since only now there is no object within: JSON.parse takes the last of two, a reader perhaps the first.
  if (colonsOutsideStrings(text) !== given.size) throw refuse("a member is given twice");
  return { quorum, requesterSigns, breakGlass, databases: ids };
}

function readNames(value: unknown): readonly string[] | null {
  if (!Array.isArray(value)) return null;
  const names = value.filter((name: unknown): name is string => typeof name === "string" && name !== "");
  return names.length === value.length && new Set(names).size === names.length ? names : null;
}

function colonsOutsideStrings(json: string): number {
  return json.replace(/"(?:[^"\\]|\\.)*"/g, "").split(":").length - 1;
}
