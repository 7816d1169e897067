/** Notes in the database, for `status` and `doctor`, that its log was verified or anchored. */
import type { Tx } from "../db/database.ts";
import { noteEvidence } from "../operations/evidence.ts";
import type { NewEvidence } from "../repository/evidence.ts";
import type { VerbContext } from "./context.ts";

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
