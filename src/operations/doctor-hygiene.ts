import type { Hygiene, Unclean, UncleanOne } from "../repository/hygiene.ts";
import type { Finding } from "./doctor.ts";

/** Identities and credentials in force that somebody should look at: the first ten of each kind, and what mends it. */
export function hygieneFindings(hygiene: Hygiene): Omit<Finding, "check">[] {
  const { ownerless, overAge, endless, neverUsed, longUnused, overScoped, unswept } = hygiene;
  return [
    ...finding(ownerless, {
      one: "identity has nobody who answers for it",
      many: "identities have nobody who answers for them",
      mend: ({ identity }) => `midctl identity update ${identity} --owner WHO`,
    }),
    ...finding(overAge, {
      one: "current credential is older than 365 days",
      many: "current credentials are older than 365 days",
      mend: rotation,
    }),
    ...finding(endless, {
      one: "current credential has no end",
      many: "current credentials have no end",
      mend: rotation,
    }),
    ...finding(neverUsed, {
      one: "active identity was made more than 30 days ago and never used",
      many: "active identities were made more than 30 days ago and never used",
      mend: ({ identity }) => `midctl revoke ${identity}`,
    }),
    ...finding(longUnused, {
      one: "token in force was not used for 90 days",
      many: "tokens in force were not used for 90 days",
      mend: ({ identity, credential }) => `midctl revoke ${credential ?? identity}`,
    }),
    ...finding(overScoped, {
      one: "credential in force has the scope *, and may do everything",
      many: "credentials in force have the scope *, and may do everything",
      mend: (found) => `${rotation(found)} --scope SCOPE`,
    }),
    ...(unswept === 0
      ? []
      : [
          {
            severity: "info" as const,
            message: `${unswept} ${unswept === 1 ? "row waits" : "rows wait"} for a sweep: pending past their deadline, or idle past their idle life. They are refused already.`,
            mend: "midctl sweep, by a timer: docs/housekeeping.md",
          },
        ]),
  ];
}

interface Words {
  readonly one: string;
  readonly many: string;
  /** What mends one of them. */
  readonly mend: (found: UncleanOne) => string;
}

function finding({ count, first }: Unclean, { one, many, mend }: Words): Omit<Finding, "check">[] {
  const [example] = first;
  if (example === undefined) return [];
  const names = first.map(({ identity, credential }) =>
    credential === null ? identity : `${credential} (${identity})`,
  );
  const more = count > first.length ? `, and ${count - first.length} more` : "";
  const each = count > 1 ? "; so with each" : "";
  return [
    {
      severity: "warning",
      message: `${count} ${count === 1 ? one : many}: ${names.join(", ")}${more}.`,
      mend: `${mend(example)}${each}`,
    },
  ];
}

function rotation({ identity, name }: UncleanOne): string {
  return `midctl credential rotate ${identity}${name === null || name === "default" ? "" : ` --name ${name}`}`;
}
