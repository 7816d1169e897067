import type { Database } from "../db/database.ts";
import { GUARD_CONSTRAINTS, GUARD_FUNCTIONS, GUARD_TRIGGERS } from "../db/guards.ts";
import { readSchemaState } from "../db/migrate.ts";
import { frameFaults, type LogFrame } from "../domain/log-frame.ts";
import { formatToken } from "../domain/reference.ts";
import { readEnvironment } from "../repository/environment.ts";
import { readEvidence } from "../repository/evidence.ts";
import { readHygiene } from "../repository/hygiene.ts";
import { readFrame } from "../repository/log-frame.ts";
import {
  type LegacyFacts,
  type LegacyFinding,
  type LogFacts,
  readGuards,
  readLegacyFacts,
  readLogFacts,
  readServer,
} from "../repository/overview.ts";
import { readStanding } from "../repository/rights.ts";
import { countOverdue } from "../repository/seal.ts";
import { approvalFindings, type NamedTrust } from "./doctor-approvals.ts";
import { evidenceFindings } from "./doctor-evidence.ts";
import { hygieneFindings } from "./doctor-hygiene.ts";
import { rightsFindings } from "./doctor-rights.ts";
import { readUnlike, type Witnessed, witnessedOf } from "./evidence.ts";
import { goThere } from "./moved.ts";

/** Something that is not as it should be, and the command that mends it. */
export interface Finding {
  readonly check: string;
  /** `info`: nothing is wrong, and it is worth knowing. */
  readonly severity: "error" | "warning" | "info";
  readonly message: string;
  readonly mend: string;
}

export interface Diagnosis {
  /** Every check made, in order, whether it found something or not. */
  readonly checks: readonly string[];
  readonly findings: readonly Finding[];
  /** null where it was not examined: the schema is another one, or the role may not read it. */
  readonly log: Witnessed | null;
}

/** Oldest PostgreSQL whose guards are tested. */
const OLDEST = 150_000;
/** Seconds: a running server needs less than one. */
const SEALED_WITHIN = 60;
/** More than this apart, in ms, and deadlines surprise whoever watches the local clock. */
const CLOCK_TOLERANCE = 2_000;

/**
 * Examines a database: schema, guards, log, clock, rights, engine, approvals. Changes nothing.
 * @param localClock the caller's, in milliseconds since the epoch
 * @param options.embedded whether it is the engine of midctl's own, which has but one user
 * @param options.trust by which approvals are judged; null where none is named
 */
export async function diagnose(
  db: Database,
  localClock: () => number,
  options: { readonly embedded?: boolean; readonly trust?: NamedTrust | null } = {},
): Promise<Diagnosis> {
  const checks: string[] = [];
  const findings: Finding[] = [];
  const check = (name: string, found: readonly Omit<Finding, "check">[]): void => {
    checks.push(name);
    findings.push(...found.map((finding) => ({ check: name, ...finding })));
  };

  const schema = await readSchemaState(db);
  if (schema.state !== "current") {
    check("schema", [
      {
        severity: "error",
        message: `The schema is ${schema.state}: ${schema.applied} of ${schema.known} migrations are applied.`,
        mend: schema.state === "newer" ? "upgrade midctl" : "midctl db migrate",
      },
    ]);
    if (schema.state !== "newer") return { checks, findings, log: null };
  } else check("schema", []);

  const asked = localClock();
  const server = await readServer(db);
  const answered = localClock();
  const [guards, rights, log, environment, hygiene, evidence] = await Promise.all([
    readGuards(db),
    readStanding(db),
    readLogFacts(db),
    readEnvironment(db),
    readHygiene(db),
    readEvidence(db),
  ]);

  check("guards", guardFindings(guards));
  check("log", log === null ? [UNREAD] : logFindings(log, await readFrame(db)));
  if (evidence !== null) {
    const isProtected = environment?.protected === true;
    const unlike = await readUnlike(db, evidence);
    check("evidence", evidenceFindings(evidence, { unlike, isProtected, clock: server.clock }));
  }
  check("agent events", sealFindings(await countOverdue(db, SEALED_WITHIN)));
  check(
    "environment",
    environment === null
      ? [{ severity: "error", message: "The database has no environment yet.", mend: "midctl db migrate" }]
      : environment.movedTo !== null
        ? [
            {
              severity: "warning",
              message: `The database has moved to ${environment.movedTo}; here nothing can be changed any more.`,
              mend: goThere(environment.movedTo),
            },
          ]
        : environment.named
          ? []
          : [
              {
                severity: "warning",
                message: "The environment is not named yet: it is the default, for tests, unprotected.",
                mend: "midctl db init --environment NAME",
              },
            ],
  );
  const drift = server.clock - (asked + answered) / 2;
  check(
    "clock",
    Math.abs(drift) <= CLOCK_TOLERANCE + (answered - asked) / 2
      ? []
      : [
          {
            severity: "warning",
            message: `The database's clock is ${Math.round(Math.abs(drift) / 1000)} s ${drift > 0 ? "ahead of" : "behind"} this machine's; the database's decides.`,
            mend: "set both by NTP",
          },
        ],
  );
  check("rights", rightsFindings(rights, options.embedded === true));
  check("engine", [
    ...(server.versionNumber < OLDEST
      ? [
          {
            severity: "error" as const,
            message: `PostgreSQL ${server.version} is older than 15.`,
            mend: "upgrade the server",
          },
        ]
      : []),
    ...(server.fsync
      ? []
      : [
          {
            severity: "error" as const,
            message: "fsync is off: a power cut loses acknowledged changes.",
            mend: "ALTER SYSTEM SET fsync = on",
          },
        ]),
    ...(server.standby
      ? [
          {
            severity: "warning" as const,
            message: "This is a standby: it can be read and not changed.",
            mend: "connect to the primary",
          },
        ]
      : []),
  ]);
  check("hygiene", hygieneFindings(hygiene));
  check("approvals", await approvalFindings(db, environment, options.trust ?? null, server.clock));
  // Who may not read the log does not know of a sunset either.
  if (log !== null) check("legacy tokens", legacyFindings(await readLegacyFacts(db)));
  return { checks, findings, log: evidence === null ? null : witnessedOf(evidence) };
}

const UNREAD: Omit<Finding, "check"> = {
  severity: "info",
  message: "This connection may not read the log: neither it nor legacy tokens were examined.",
  mend: "midctl doctor as an auditor or operator",
};

function logFindings({ head, entries, last }: LogFacts, frame: LogFrame): Omit<Finding, "check">[] {
  const faults = frameFaults(frame).map((fault) => `It is not as it was made: ${fault}.`);
  if (head === null || head !== entries || (last ?? -1) !== head - 1) {
    faults.unshift(
      `The log's head says ${head ?? "nothing"}, and ${entries} entries end at ${last ?? "nothing"}: entries are missing or were added.`,
    );
  }
  const evident = faults.map((message) => ({
    severity: "error" as const,
    message,
    mend: "keep this database as evidence and restore from a backup that verifies",
  }));
  const veiled = frame.veiled.map((table) => ({
    severity: "error" as const,
    message: `Row-level security is on for ${table}: whoever is shown less of it takes the log for another one.`,
    mend: `ALTER TABLE ${table} DISABLE ROW LEVEL SECURITY`,
  }));
  return [...evident, ...veiled];
}

/** @param overdue null for whoever may not read it: the rights are found to be missing elsewhere */
function sealFindings(overdue: number | null): Omit<Finding, "check">[] {
  if (overdue === null || overdue === 0) return [];
  return [
    {
      severity: "warning",
      message: `${overdue} agent event${overdue === 1 ? " has" : "s have"} waited for longer than a minute to be sealed in the log: until then they can be changed without a trace.`,
      mend: "midctl sweep now, and midctl serve or a timer for what comes",
    },
  ];
}

/** Before a legacy token that is in use ends, and what a sunset did not reach. */
function legacyFindings(legacy: LegacyFacts): Omit<Finding, "check">[] {
  const found: Omit<Finding, "check">[] = [];
  const plan = "midctl identity adopt --all --plan FILE";
  if (legacy.endingCount > 0) {
    const one = legacy.endingCount === 1;
    found.push({
      severity: "warning",
      message: `${legacy.endingCount} legacy token${one ? "" : "s"} in use will end within 30 days: ${named(legacy.ending, legacy.endingCount)}.`,
      mend: one ? adopt(legacy.ending) : `${plan}, or one by one: ${adopt(legacy.ending)}`,
    });
  }
  if (legacy.laterCount > 0) {
    const one = legacy.laterCount === 1;
    found.push({
      severity: "warning",
      message: `${legacy.laterCount} legacy token${one ? " was" : "s were"} made after the sunset and live${one ? "s" : ""} on beyond ${legacy.sunset}: ${named(legacy.later, legacy.laterCount)}.`,
      mend: `${adopt(legacy.later)}, or midctl token sunset --after DATE`,
    });
  }
  if (legacy.refused > 0) {
    found.push({
      severity: "warning",
      message: `${legacy.refused} token${legacy.refused === 1 ? " has" : "s have"} a machine identity and no credential, and authenticate${legacy.refused === 1 ? "s" : ""} nobody.`,
      mend: `midctl list tokens --status refused, then ${plan}`,
    });
  }
  if (legacy.unadopted > 0) {
    found.push({
      severity: "info",
      message: `${legacy.unadopted} legacy token${legacy.unadopted === 1 ? " in force is" : "s in force are"} not adopted.`,
      mend: plan,
    });
  }
  return found;
}

/** The first of them by reference and name. */
function named(tokens: readonly LegacyFinding[], count: number): string {
  const more = count > tokens.length ? `, and ${count - tokens.length} more` : "";
  return tokens.map(({ publicId, name }) => `${formatToken(publicId)} (${name})`).join(", ") + more;
}

function adopt(tokens: readonly LegacyFinding[]): string {
  const [first] = tokens;
  return `midctl identity adopt ${first === undefined ? "at_…" : formatToken(first.publicId)} --slug SLUG --owner WHO`;
}

/** What is wrong with the guards. */
export function guardFindings(standing: Awaited<ReturnType<typeof readGuards>>): Omit<Finding, "check">[] {
  const mend = "find out who changed the schema, then restore the guards from migrations/ as the owner";
  const found: Omit<Finding, "check">[] = [];
  for (const { table, trigger } of GUARD_TRIGGERS) {
    const there = standing.triggers.find((one) => one.table === table && one.trigger === trigger);
    if (there === undefined)
      found.push({ severity: "error", message: `The guard ${trigger} on ${table} is missing.`, mend });
    else if (!there.always) {
      found.push({
        severity: "error",
        message: `The guard ${trigger} on ${table} is not always on.`,
        mend: `ALTER TABLE "${table}" ENABLE ALWAYS TRIGGER ${trigger}`,
      });
    }
  }
  for (const [name, fingerprint] of Object.entries(GUARD_FUNCTIONS)) {
    const there = standing.functions[name];
    if (there === undefined)
      found.push({ severity: "error", message: `The guard function ${name} is missing.`, mend });
    else if (there !== fingerprint) {
      found.push({
        severity: "error",
        message: `The guard function ${name} is not the one that was installed.`,
        mend,
      });
    }
  }
  for (const [table, name, validated] of GUARD_CONSTRAINTS) {
    const there = standing.constraints.find((one) => one.table === table && one.name === name);
    const what = `The constraint ${name} on ${table}`;
    if (there === undefined) found.push({ severity: "error", message: `${what} is missing.`, mend });
    else if (!there.enforced) found.push({ severity: "error", message: `${what} is not enforced.`, mend });
    else if (validated && !there.validated) {
      found.push({
        severity: "error",
        message: `${what} was put back for new rows alone: others may break it.`,
        mend: `ALTER TABLE "${table}" VALIDATE CONSTRAINT "${name}"`,
      });
    }
  }
  return found;
}
