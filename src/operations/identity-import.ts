import type { Database, Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { insertCredentials } from "../repository/credential.ts";
import { insertIdentities } from "../repository/identity.ts";
import { change, type Request } from "./change.ts";
import { type LineFailure, refuseImport } from "./import-failures.ts";
import type { Entry, ImportFile, ImportLine } from "./import-file.ts";
import { type ImportOptions, Judge } from "./import-judge.ts";
import { requireEnvironment } from "./lookup.ts";

export interface Imported {
  /** Lines that made something. */
  readonly imported: number;
  /** Lines of which everything was there. */
  readonly unchanged: number;
  readonly identities: number;
  readonly credentials: number;
  /** With `keepGoing`; at most `MOST_FAILURES`. */
  readonly failed: readonly LineFailure[];
  readonly failedTotal: number;
}

/** Lines in one statement: enough that its own cost does not count, few enough to be held in memory. */
const BATCH = 1_000;

/**
 * Creates the identities of a file, and issues their credentials, in one transaction: all, or with `keepGoing` all that can
 * be. Every line is judged, so that one error names all that are wrong.
 * @throws MidctlError `usage`, `conflict` or `not_found`, the gravest of what is wrong, with `details.failed`
 */
export function importIdentities(
  db: Database,
  request: Request,
  file: ImportFile,
  options: ImportOptions,
): Promise<Imported> {
  return change(db, request, async (tx) => {
    const judge = new Judge(tx, file, options, await requireEnvironment(tx));
    const counts = { imported: 0, unchanged: 0, identities: 0, credentials: 0 };
    let writing = Promise.resolve();
    try {
      for await (const verdict of judge.lookAhead(file.batches(BATCH))) {
        const { create, issue, unchanged } = verdict;
        counts.unchanged += unchanged.length;
        // One line that is wrong, and nothing of the file will stay: the rest is only looked at.
        if (judge.failures.total > 0 && !options.keepGoing) continue;
        counts.identities += create.length;
        counts.imported += create.length + issue.length;
        const before = writing;
        const now = write(tx, request, file, create, issue);
        writing = Promise.all([before, now]).then(([, issued]) => {
          counts.credentials += issued;
        });
        // The next lines are judged while the database writes these; what became of it is asked after that.
        writing.catch(() => {});
        await before;
      }
    } finally {
      // What failed first is what is told: whatever the transaction was asked after it failed of it.
      await writing;
    }
    const { failures } = judge;
    if (failures.total > 0 && !options.keepGoing) throw refuseImport(failures, file.total);
    return { ...counts, failed: failures.told, failedTotal: failures.total };
  });
}

/**
 * The lines that would make something, whole, for a plan. One that is wrong stops it.
 * @throws MidctlError as `importIdentities`
 */
export async function previewImport(
  tx: Tx,
  file: ImportFile,
  { ifNotExists }: ImportOptions,
): Promise<ImportLine[]> {
  const judge = new Judge(tx, file, { ifNotExists, keepGoing: false }, await requireEnvironment(tx));
  const lines: ImportLine[] = [];
  for (const batch of file.batches(BATCH)) {
    const { create, issue } = await judge.look(batch);
    if (judge.failures.total === 0) lines.push(...[...create, ...issue].map((entry) => file.lineOf(entry)));
  }
  if (judge.failures.total > 0) throw refuseImport(judge.failures, file.total);
  return lines.sort((a, b) => a.line - b.line);
}

/** How many credentials were issued. */
async function write(
  tx: Tx,
  request: Request,
  file: ImportFile,
  create: readonly Entry[],
  issue: readonly Entry[],
): Promise<number> {
  const { name } = request.actor;
  const made = file.textsOf(create);
  const credentials = [...made.credentials, ...file.textsOf(issue).credentials];
  const [identities, issued] = await Promise.all([
    made.identities.length === 0 ? 0 : insertIdentities(tx, made.identities, name),
    credentials.length === 0 ? 0 : insertCredentials(tx, credentials, name),
  ]);
  if (identities === create.length && issued === credentials.length) return issued;
  throw new MidctlError(
    "conflict",
    "Somebody created one of these identities, or named the environment, meanwhile; nothing was imported.",
    { hint: "Import again: then the line is named." },
  );
}
