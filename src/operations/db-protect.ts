import type { Database, Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { addSeconds } from "../domain/instant.ts";
import { commitToHash } from "../domain/plan.ts";
import { readMoment } from "../repository/approval.ts";
import { type Environment, lockEnvironment, markProtected } from "../repository/environment.ts";
import { readLiveTokens, shortenTokens } from "../repository/protection.ts";
import { toScopes } from "../repository/token-facts.ts";
import type { Draft } from "./approval/draft.ts";
import type { PlanLine } from "./approval/plan.ts";
import { rehearsal } from "./approval/rehearse.ts";
import { change, type Request } from "./change.ts";
import { requireEnvironment } from "./lookup.ts";

export interface Protected {
  /** False where it was protected already. */
  readonly changed: boolean;
  readonly environment: Environment;
}

/**
 * One line for each token that is in force: what verifiers with a trust root will go by from then on.
 * @param life seconds that a token without an end lives on
 */
export async function draftProtection(tx: Tx, life: number): Promise<Draft[]> {
  const [{ now }, tokens] = await Promise.all([readMoment(tx), readLiveTokens(tx)]);
  return tokens.map(({ id, version, identity, tokenHash, scopes, endsAt }) => ({
    line: {
      do: "environment.protect",
      identity,
      credential: { id, version },
      token: {
        secret: commitToHash(tokenHash),
        scopes: [...toScopes(scopes)],
        notAfter: endsAt ?? addSeconds(now, life),
      },
      shortened: endsAt === null,
    },
    hash: null,
  }));
}

/**
 * Protects the environment: from then on nothing changes in it without an approval. The guards refuse where a token is alive
 * that no line of an approved plan covers.
 * @throws MidctlError `approval_required` for such a token
 */
export function protectEnvironment(
  db: Database,
  request: Request,
  lines: readonly PlanLine[],
): Promise<Protected> {
  return change(db, request, async (tx) => {
    const before = await lockEnvironment(tx);
    if (before === null) throw new MidctlError("internal", "The database has no environment.");
    if (before.protected) return { changed: false, environment: before };
    await shortenTokens(
      tx,
      lines.flatMap((line) =>
        line.do === "environment.protect" && line.shortened
          ? [{ id: line.credential.id.slice(3), endsAt: line.token.notAfter }]
          : [],
      ),
    );
    await markProtected(tx);
    return { changed: true, environment: await requireEnvironment(tx) };
  });
}

/** The same, rolled back: throws where it could not be done. */
export async function rehearseProtection(
  db: Database,
  request: Request,
  drafts: readonly Draft[],
): Promise<Protected> {
  if (drafts.length === 0) return protectEnvironment(db, { ...request, dryRun: true }, []);
  const { envelope } = rehearsal(await requireEnvironment(db), drafts, { unmoved: false });
  return protectEnvironment(
    db,
    { ...request, dryRun: true, envelope },
    drafts.map(({ line }) => line),
  );
}
