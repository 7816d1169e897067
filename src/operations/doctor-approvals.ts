import type { Database } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import type { TrustRoot } from "../domain/trust.ts";
import {
  countOpenApprovals,
  type LivePlan,
  mayReadApprovals,
  readCarriedOut,
  readLivePlans,
  readSignedPlan,
  readUncountersigned,
} from "../repository/approval.ts";
import type { Environment } from "../repository/environment.ts";
import { type LiveRow, readLiveRows } from "../repository/protection.ts";
import { toScopes } from "../repository/token-facts.ts";
import { explainShort } from "./approval/apply.ts";
import { glassFault, judgeRequest, readRequest } from "./approval/read.ts";
import { weakPermissions } from "./approval/trust-dir.ts";
import type { Finding } from "./doctor.ts";
import { isSame, judgeSigned } from "./verifier/terms.ts";

/** A trust root, and the directory that it was read from. */
export interface NamedTrust {
  readonly root: TrustRoot;
  readonly dir: string;
}

type Found = Omit<Finding, "check">;

/** So many of a kind are named. */
const NAMED = 5;
/** Digests of plans that are asked for at once. */
const PAGE = 500;
/** So many are looked at of what was carried out lately; a millisecond or so each. */
const LATELY = 10_000;

/**
 * What is wrong with approvals (SPEC §9): a countersignature that is owed, a trust root that trusts too much, tokens that
 * verifiers with this trust root refuse, and what was carried out by votes that nobody signed.
 * @param now the database's clock, ms since 1970
 */
export async function approvalFindings(
  db: Database,
  environment: Environment | null,
  trust: NamedTrust | null,
  now: number,
): Promise<Found[]> {
  const found = trust === null ? [] : trustFindings(trust, environment);
  if (!(await mayReadApprovals(db))) return [...found, UNREAD];
  found.push(...(await glassFindings(db)));
  if (environment?.protected !== true) return found;
  if (trust === null) return [...found, UNJUDGED];
  // Of every token the finding above says the same.
  if (!believes(trust.root, environment)) return found;
  return [
    ...found,
    ...uncoveredFindings(await readUncovered(db, trust.root, now), trust.dir),
    ...(await lateFindings(db, trust)),
  ];
}

const UNREAD: Found = {
  severity: "info",
  message: "This connection may not read approvals: they were not examined.",
  mend: "midctl doctor as an auditor or operator; as the owner: midctl db grant --role ROLE NAME, again",
};

const UNJUDGED: Found = {
  severity: "info",
  message: "No trust root is named: whether signed approvals cover the live tokens was not examined.",
  mend: "midctl doctor --trust-dir DIR",
};

function trustFindings({ root, dir }: NamedTrust, environment: Environment | null): Found[] {
  const { requesterSigns, databases } = root.policy;
  const file = `${dir}/policy.json`;
  const found: Found[] = weakPermissions(dir).map((sentence) => ({
    severity: "warning",
    message: `${sentence}: whoever can change the trust root decides whom verifiers believe.`,
    mend: "let root or the verifier's own user own it, and chmod go-w",
  }));
  if (!requesterSigns) {
    found.push({
      severity: "warning",
      message: `${file} lets requests go unsigned: a requester's name is then a claim, and one signer can request under another's name and approve it alone.`,
      mend: `"requesterSigns":true in ${file}`,
    });
  }
  const id = environment?.databaseId;
  if (databases === null) {
    found.push({
      severity: "warning",
      message: `${file} names no databases: plans of any database are believed.`,
      mend: `"databases":["${id ?? "…"}"] in ${file}`,
    });
  } else if (databases.length > 1) {
    found.push({
      severity: "warning",
      message: `${file} names ${databases.length} databases: what is approved in one of them is believed in each, whoever copies it there.`,
      mend: "a trust directory for each database, with its id alone",
    });
  }
  if (databases !== null && environment?.protected === true && !believes(root, environment)) {
    found.push({
      severity: "error",
      message: `${file} does not name this database: verifiers that have it refuse every token of ${environment.name}.`,
      mend: `add "${id}" to databases in ${file}`,
    });
  }
  return found;
}

function believes({ policy }: TrustRoot, { databaseId }: Environment): boolean {
  return policy.databases === null || policy.databases.includes(databaseId);
}

async function glassFindings(db: Database): Promise<Found[]> {
  const [owing, { uncountersigned }] = await Promise.all([
    readUncountersigned(db, NAMED),
    countOpenApprovals(db),
  ]);
  const found: Found[] = owing.map(({ id, action, requester, requestedAt }) => ({
    severity: "warning",
    message: `${requester} broke the glass at ${requestedAt} to ${action}, and nobody has countersigned ${id}.`,
    mend: `midctl approval approve ${id} --key KEY`,
  }));
  const more = uncountersigned - owing.length;
  if (more > 0) {
    found.push({
      severity: "warning",
      message: `${more} more break-glass action${more === 1 ? " is" : "s are"} not countersigned.`,
      mend: "midctl approval list, then midctl approval approve AP --key KEY",
    });
  }
  return found;
}

function uncoveredFindings(uncovered: readonly string[], dir: string): Found[] {
  const count = uncovered.length;
  if (count === 0) return [];
  const more = count > NAMED ? `, and ${count - NAMED} more` : "";
  return [
    {
      severity: "warning",
      message: `${count} live token${count === 1 ? " is" : "s are"} covered by no plan that is in force under ${dir}, and refused by verifiers that have it: ${uncovered.slice(0, NAMED).join(", ")}${more}.`,
      mend: "keep in allowed_signers whoever approved them, or request them anew: midctl credential rotate REF --token-file FILE --key KEY",
    },
  ];
}

interface Forged {
  readonly id: string;
  readonly what: string;
  readonly why: string;
  /** Broken glass waits for nobody: a stranger's is an error at once. */
  readonly severity: "warning" | "error";
}

/** The database counts votes, whatever is signed in them: whoever writes SQL can write one. */
function forgedFindings(lately: readonly Forged[], dir: string): Found[] {
  const forged = [...lately].sort((a, b) => Number(b.severity === "error") - Number(a.severity === "error"));
  const found: Found[] = forged.slice(0, NAMED).map(({ id, what, why, severity }) => ({
    severity,
    message: `${id} (${what}) was carried out, and ${dir} does not agree that it was approved: ${why}.`,
    mend: `midctl approval show ${id}, then undo what nobody approved; midctl audit names the connection`,
  }));
  const more = forged.length - found.length;
  if (more > 0) {
    found.push({
      severity: "warning",
      message: `${more} more that ${more === 1 ? "was" : "were"} carried out in the last 30 days ${more === 1 ? "is" : "are"} not approved by ${dir}.`,
      mend: "midctl approval list --all, then midctl approval show AP",
    });
  }
  return found;
}

async function lateFindings(db: Database, { root, dir }: NamedTrust): Promise<Found[]> {
  const forged: Forged[] = [];
  let examined = 0;
  for (let before: string | null = null; ; ) {
    const page = await readCarriedOut(db, { before, limit: PAGE });
    forged.push(...(await readForged(db, root, page)));
    examined += page.length;
    before = page.at(-1)?.id ?? null;
    if (page.length < PAGE) return forgedFindings(forged, dir);
    if (examined >= LATELY) break;
  }
  return [
    ...forgedFindings(forged, dir),
    {
      severity: "warning",
      message: `Of what was carried out in the last 30 days the newest ${examined} approvals were examined, and no older ones.`,
      mend: "midctl approval list --all, then midctl approval show AP",
    },
  ];
}

/**
 * What was carried out without signatures that hold. Where that only issued tokens, verifiers refuse these, and they are
 * counted as uncovered. Of break-glass a vote may still be owed.
 */
async function readForged(
  db: Database,
  root: TrustRoot,
  lately: readonly { readonly id: string; readonly action: string; readonly requester: string }[],
): Promise<readonly Forged[]> {
  const forged: Forged[] = [];
  for (const { id, action, requester } of lately) {
    const what = `${action}, requested by ${requester}`;
    try {
      const found = await readRequest(db, id);
      const judgement = judgeRequest(root, found);
      const why = explainShort(judgement);
      const glass = glassFault(root, found.plan, judgement);
      if (glass !== null) {
        const broken = {
          id,
          what,
          why:
            glass === "break_glass"
              ? `the policy's breakGlass does not name ${found.plan.requester}`
              : "its request is not signed",
        };
        forged.push({ ...broken, severity: "error" });
        continue;
      }
      const owing = found.approval.status === "uncountersigned" && judgement.short === "quorum";
      if (why !== null && !owing) forged.push({ id, what, why, severity: "warning" });
    } catch (error) {
      if (!(error instanceof MidctlError) || error.code === "unavailable") throw error;
      forged.push({ id, what, why: "what is kept as its plan is none", severity: "warning" });
    }
  }
  return forged;
}

/**
 * References of the tokens alive that no plan in force covers. Plans are gone through newest first, each read and judged once
 * for all that it names, and rows compared with their lines, as verifiers do: kept are the tokens' rows and one plan.
 */
async function readUncovered(db: Database, root: TrustRoot, now: number): Promise<string[]> {
  const left = new Map((await readLiveRows(db)).map((row) => [row.id.slice(3), row]));
  for (let before: string | null = null; left.size > 0; ) {
    const page: LivePlan[] = await readLivePlans(db, { before, limit: PAGE });
    for (const { digest } of page) {
      if (left.size === 0) break;
      const signed = await readSignedPlan(db, digest);
      const judged = signed === null ? "short" : judgeSigned(root, digest, signed);
      if (typeof judged === "string") continue;
      for (const terms of judged.terms.values()) {
        const row = left.get(terms.publicId);
        if (row !== undefined && terms.notAfter > now && isSame(terms, compared(row)))
          left.delete(terms.publicId);
      }
    }
    if (page.length < PAGE) break;
    before = page.at(-1)?.position ?? null;
  }
  return [...left.values()].map(({ id }) => id);
}

function compared({ id, scopes, ...row }: LiveRow) {
  return { ...row, publicId: id.slice(3), scopes: toScopes(scopes) };
}
