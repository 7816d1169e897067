import { randomBytes } from "node:crypto";
import type { Database, Tx } from "../db/database.ts";
import { type ErrorCode, MidctlError } from "../domain/errors.ts";
import { formatCredential, formatToken } from "../domain/reference.ts";
import { createPublicId } from "../domain/token.ts";
import { quote } from "../domain/visible.ts";
import { insertAdopted, readTakenNames } from "../repository/credential.ts";
import { type Identity, insertServices, lockIdentities } from "../repository/identity.ts";
import { lockTokens, readTokensToAdopt, type TokenToAdopt } from "../repository/token.ts";
import { adoptedAlready, identityObstacle, tokenObstacle } from "./adoption.ts";
import { change, type Request } from "./change.ts";
import { differencesFrom } from "./identity-create.ts";

/** One token of a plan, and what it is to become. */
export interface PlannedAdoption {
  /** Where it stands in the file, from 1. */
  readonly line: number;
  /** Public id. */
  readonly token: string;
  /** As the plan knows the token; another by now is a conflict. */
  readonly name: string;
  readonly workspace: string | null;
  readonly slug: string;
  readonly displayName: string;
  readonly owner: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Name of the credential. */
  readonly credential: string;
}

export interface AdoptionApplied {
  readonly adopted: number;
  /** Adopted so before. */
  readonly unchanged: number;
  /** Identities made. */
  readonly created: number;
  readonly results: readonly {
    readonly line: number;
    readonly token: string;
    readonly identity: string;
    readonly credential: string;
    readonly changed: boolean;
  }[];
}

/** What is wrong with a line. */
export interface LineProblem {
  readonly line: number;
  readonly what: string;
}

/** Told in the message; all others, up to a hundred, are in the details. */
const TOLD = 5;
const DETAILED = 100;

/** One error for all lines of a file that cannot be taken, with the numbers of the lines. */
export function refuseLines(
  code: ErrorCode,
  problems: readonly LineProblem[],
  total: number,
  hint: string,
): MidctlError {
  const told = problems.slice(0, TOLD).map(({ line, what }) => `line ${line}: ${what}`);
  const more = problems.length > TOLD ? `; and ${problems.length - TOLD} more` : "";
  return new MidctlError(
    code,
    `${problems.length} of ${total} line${total === 1 ? "" : "s"} cannot be applied; nothing was changed: ${told.join("; ")}${more}.`,
    { hint, details: { lines: problems.slice(0, DETAILED), problems: problems.length } },
  );
}

/**
 * Adopts every token of a plan, in one transaction: all or none. Repeating it changes nothing. Several lines with one slug
 * are one identity with several credentials. An identity that is there takes the token where it has the attributes that
 * the line says. Throws `usage` for a plan that contradicts itself, `conflict` for what the database says against it;
 * both name the lines.
 */
export async function applyAdoption(
  db: Database,
  request: Request,
  plan: readonly PlannedAdoption[],
): Promise<AdoptionApplied> {
  refuseContradictions(plan);
  return change(db, request, async (tx) => {
    const slugs = [...new Set(plan.map(({ slug }) => slug))];
    const identities = new Map((await lockIdentities(tx, slugs)).map((one) => [one.slug, one]));
    const ids = plan.map(({ token }) => token);
    await lockTokens(tx, ids);
    const tokens = new Map((await readTokensToAdopt(tx, ids)).map((token) => [token.publicId, token]));
    const names = new Map(
      (await readTakenNames(tx, [...identities.keys()])).map(({ identity, name, id }) => [
        `${identity}/${name}`,
        id,
      ]),
    );

    const open: PlannedAdoption[] = [];
    const problems: LineProblem[] = [];
    for (const line of plan) {
      const token = tokens.get(line.token);
      const what = problemOf(line, token, identities.get(line.slug), names);
      if (what !== null) problems.push({ line: line.line, what });
      else if (token?.credential === null) open.push(line);
    }
    if (problems.length > 0) {
      throw refuseLines("conflict", problems, plan.length, "Change or delete these lines, and apply again.");
    }
    const created = await makeIdentities(tx, request, open, identities, plan.length);
    if (open.length > 0) {
      await insertAdopted(
        tx,
        open.map(({ token, slug, credential }) => ({ token, identity: slug, name: credential })),
        request.actor.name,
      );
    }
    const changed = new Set(open);
    return {
      adopted: open.length,
      unchanged: plan.length - open.length,
      created,
      results: plan.map((line) => ({
        line: line.line,
        token: formatToken(line.token),
        identity: line.slug,
        credential: formatCredential(line.token),
        changed: changed.has(line),
      })),
    };
  });
}

function refuseContradictions(plan: readonly PlannedAdoption[]): void {
  const tokens = new Map<string, number>();
  const names = new Map<string, number>();
  const identities = new Map<string, PlannedAdoption>();
  const problems: LineProblem[] = [];
  for (const line of plan) {
    const report = (what: string): unknown => problems.push({ line: line.line, what });
    const sameToken = tokens.get(line.token);
    if (sameToken !== undefined) {
      report(`${formatToken(line.token)} is adopted on line ${sameToken} already`);
      continue;
    }
    tokens.set(line.token, line.line);
    const key = `${line.slug}/${line.credential}`;
    const sameName = names.get(key);
    if (sameName !== undefined) {
      report(
        `${line.slug} gets a credential named ${line.credential} on line ${sameName} already: give another slug, or name this one with "credential"`,
      );
      continue;
    }
    names.set(key, line.line);
    const first = identities.get(line.slug);
    if (first === undefined) identities.set(line.slug, line);
    else if (description(first) !== description(line)) {
      report(
        `${line.slug} has another name, owner, workspace or other labels than on line ${first.line}, and is one identity`,
      );
    }
  }
  if (problems.length > 0) {
    throw refuseLines("usage", problems, plan.length, "Change or delete these lines, and apply again.");
  }
}

function description({ displayName, owner, workspace, labels }: PlannedAdoption): string {
  const sorted = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([displayName, owner, workspace, sorted]);
}

function problemOf(
  line: PlannedAdoption,
  token: TokenToAdopt | undefined,
  identity: Identity | undefined,
  names: ReadonlyMap<string, string>,
): string | null {
  const ref = formatToken(line.token);
  if (token === undefined) return `there is no agent token ${ref}`;
  if (token.credential !== null) {
    const same = token.credential.identity === line.slug && token.credential.name === line.credential;
    return same ? null : adoptedAlready(token, token.credential).what;
  }
  if (token.name !== line.name)
    return `${ref} is named ${quote(token.name)} by now, which the line does not say`;
  if (token.workspace !== line.workspace)
    return `${ref} is of the workspace ${token.workspace ?? "(none)"}, and keeps it`;
  const obstacle = tokenObstacle(token);
  if (obstacle !== null) return obstacle.what;
  if (identity === undefined) {
    return token.identity === null
      ? null
      : `${ref} is of the machine identity ${token.identity} already, and keeps it`;
  }
  const closed = identityObstacle(identity, token);
  if (closed !== null) return closed.what;
  const differences = differencesFrom(identity, specOf(line, identity));
  if (differences.length > 0) return `${line.slug} exists and differs in ${differences.join(", ")}`;
  const holder = names.get(`${line.slug}/${line.credential}`);
  if (holder !== undefined) return `${line.slug} has ${holder} named ${line.credential} already`;
  return null;
}

/** What a line says of an identity; what it cannot say is as it is. */
function specOf(line: PlannedAdoption, identity: Identity) {
  return {
    slug: line.slug,
    kind: identity.kind,
    provider: null,
    threadId: null,
    owner: line.owner,
    displayName: line.displayName,
    labels: line.labels,
    parent: null,
    workspace: line.workspace,
    expiresIn: null,
    idleTtl: null,
  };
}

/** Makes those that are not there yet; how many. */
async function makeIdentities(
  tx: Tx,
  request: Request,
  open: readonly PlannedAdoption[],
  identities: ReadonlyMap<string, Identity>,
  total: number,
): Promise<number> {
  const wanted = new Map(
    open.filter(({ slug }) => !identities.has(slug)).map((line) => [line.slug, line] as const),
  );
  if (wanted.size === 0) return 0;
  const made = new Set(
    await insertServices(
      tx,
      [...wanted.values()].map(({ slug, displayName, owner, labels, workspace }) => ({
        publicId: createPublicId(randomBytes),
        slug,
        displayName,
        owner,
        labels,
        workspace,
      })),
      request.actor.name,
    ),
  );
  const lost = [...wanted.values()].filter(({ slug }) => !made.has(slug));
  if (lost.length > 0) {
    throw refuseLines(
      "conflict",
      lost.map(({ line, slug }) => ({ line, what: `${slug} was created meanwhile` })),
      total,
      "Apply again.",
    );
  }
  return made.size;
}
