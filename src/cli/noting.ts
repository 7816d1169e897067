/** Notes in the database, for `status` and `doctor`, that its log was verified or anchored. */
import type { Tx } from "../db/database.ts";
import { verifyAgainst } from "../domain/evidence.ts";
import { sayFound } from "../operations/doctor-evidence.ts";
import { noteEvidence, readFound } from "../operations/evidence.ts";
import type { NewEvidence } from "../repository/evidence.ts";
import type { VerbContext } from "./context.ts";

/** What a verification found, and stands: a head that is signed all the same vouches for that, too. */
export async function warnOfFound(db: Tx, context: Pick<VerbContext, "notice">): Promise<void> {
  for (const found of await readFound(db)) {
    context.notice(
      `${sayFound(found)}; the head is signed all the same. \`${verifyAgainst(found.against)}\` names what.`,
    );
  }
}

/** What cannot be noted is said and nothing more: what was done stands. Nothing in a dry run. */
export async function noteInDatabase(
  db: Tx,
  context: Pick<VerbContext, "dryRun" | "notice">,
  evidence: NewEvidence,
): Promise<void> {
  if (context.dryRun) return;
  const refused = await noteEvidence(db, evidence);
  if (refused === null) return;
  const hint = refused.hint === null ? "" : ` ${refused.hint}`;
  context.notice(
    `That the log was ${evidence.what} could not be noted in the database: ${refused.message}${hint}`,
  );
}
