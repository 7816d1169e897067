import type { Standing } from "../repository/rights.ts";
import type { Finding } from "./doctor.ts";

/** So many of them are named. */
const NAMED = 4;

/** Whether a connection has more than it needs, or less (least privilege: NIST SP 800-53, AC-6). */
export function rightsFindings(standing: Standing, embedded: boolean): Omit<Finding, "check">[] {
  const { name, superuser, schema, owner, roles, creators, excess, missing } = standing;
  // The embedded engine has one user, who is its operating system's user too.
  if (embedded) return [];
  const found: Omit<Finding, "check">[] = creators.map((creator) => ({
    severity: "error",
    message: `${creator} may make objects in the schema, and so have functions that run as its owner call its own (CVE-2018-1058).`,
    mend: `as the owner: REVOKE CREATE ON SCHEMA ${schema} FROM ${creator}`,
  }));
  if (superuser || owner) {
    return [
      ...found,
      {
        severity: "warning",
        message: `${name} ${superuser ? "is a superuser" : "owns the schema"} and can switch every guard off.`,
        mend: "as the owner: midctl db grant --role operator NAME, then connect as NAME, a role that owns nothing",
      },
    ];
  }
  if (excess.length > 0) {
    found.push({
      severity: "warning",
      message: `${name} may do more than ${roles.length === 0 ? "anything that midctl db grant gave it" : `${roles.join(" and ")} need${roles.length === 1 ? "s" : ""}`}: ${named(excess)}.`,
      mend:
        roles.length === 0
          ? `as the owner: midctl db grant --role ROLE ${name}, and REVOKE the rest`
          : `as the owner: REVOKE these rights from ${name}, or from PUBLIC or a role that it is a member of`,
    });
  }
  if (missing.length > 0) {
    found.push({
      severity: "warning",
      message: `${name} lacks rights that ${roles.join(" and ")} need${roles.length === 1 ? "s" : ""}: ${named(missing)}.`,
      mend: `as the owner: midctl db grant ${roles.map((role) => `--role ${role}`).join(" ")} ${name}`,
    });
  }
  return found;
}

function named(rights: readonly string[]): string {
  const more = rights.length > NAMED ? `, and ${rights.length - NAMED} more` : "";
  return rights.slice(0, NAMED).join(", ") + more;
}
