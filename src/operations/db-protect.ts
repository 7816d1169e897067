import type { Database, Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { addSeconds } from "../domain/instant.ts";
import { commitToHash } from "../domain/plan.ts";
import { quote } from "../domain/visible.ts";
import { type Environment, lockEnvironment, markProtected } from "../repository/environment.ts";
import { readMoment } from "../repository/moment.ts";
import { type LiveToken, readLiveTokens, shortenTokens } from "../repository/protection.ts";
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
  requireNames(tokens);
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

/** A plan names a legacy token by its public id, which is the application's: one that has none fit to be named is in no plan. */
function requireNames(tokens: readonly LiveToken[]): void {
  const nameless = tokens.filter(({ id }) => !isPlanned(id));
  if (nameless.length === 0) return;
  const named = nameless.slice(0, NAMED).map(({ id }) => quote(id.slice(3)));
  const more = nameless.length > NAMED ? `, and ${nameless.length - NAMED} more` : "";
  throw new MidctlError(
    "conflict",
    `${nameless.length} legacy ${nameless.length === 1 ? "token has a public id" : "tokens have public ids"} that no plan can name: ${named.join(", ")}${more}; nothing was changed.`,
    {
      hint: "A public id is 1 to 12 characters of 0-9, A-Z, a-z, _ and -. Revoke the token in the application, or mend its public id there.",
    },
  );
}

const NAMED = 5;
const isPlanned = (id: string): boolean => /^(?:mc_[0-9A-Za-z]{12}|at_[0-9A-Za-z_-]{1,12})$/.test(id);

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
