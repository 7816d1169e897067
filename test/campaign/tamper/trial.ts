import type { Database } from "../../../src/db/database.ts";
import type { Checkpoint } from "../../../src/domain/checkpoint.ts";
import { ExportedLeaves } from "../../../src/domain/log-export.ts";
import { hashLeaf } from "../../../src/domain/merkle.ts";
import { readHead } from "../../../src/operations/audit-checkpoint.ts";
import { type ExportedLog, type Verified, verifyLog } from "../../../src/operations/audit-verify.ts";
import { readLeaves } from "../../../src/repository/tree.ts";
import { type Expected, type Scene, type Tampering, unlock } from "./tamperings.ts";

export interface Prepared extends Scene {
  readonly checkpoints: readonly Checkpoint[];
  /** As long as the larger of the two. */
  readonly exported: ExportedLog;
}

/** By checkpoints, and by an export. */
export interface Verdicts {
  readonly byCheckpoints: Verified;
  readonly byExport: Verified;
}

/** A log of so many entries, with two heads kept on the way. */
export async function prepare(db: Database, size: number): Promise<Prepared> {
  const dumped = Math.floor(size * 0.4);
  const seen = Math.floor(size * 0.8);
  const checkpoints: Checkpoint[] = [];
  for (const until of [dumped, seen, size]) {
    for (let at = await sizeOf(db); at < until; at = await sizeOf(db)) {
      await db.query(
        `INSERT INTO machine_identity ("publicId", slug, kind, "displayName", owner)
         SELECT lpad((${at} + n)::text, 12, '0'), 'svc-' || ${at} + n, 'service', 'svc', 'team' FROM generate_series(1, ${Math.min(1 + (at % 6), until - at)}) n`,
      );
    }
    if (until < size) checkpoints.push({ ...(await readHead(db, null)), extensions: [] });
  }
  const head = checkpoints.at(-1) as Checkpoint;
  const leaves = new ExportedLeaves(0);
  for (const { entry } of await readLeaves(db, 0, seen)) leaves.add(hashLeaf(entry));
  return { size, dumped, seen, checkpoints, exported: { leaves, head } };
}

/** What `audit verify` says of a log that was tampered with; of which nothing stays. */
export async function tryTampering(
  db: Database,
  { checkpoints, exported }: Prepared,
  { apply }: Tampering,
): Promise<Verdicts> {
  let verified: Verdicts | null = null;
  const undo = new Error("undone");
  await db
    .transaction(async (tx) => {
      await unlock(tx);
      await apply(tx);
      const whole = { onlyNew: false, onProgress: () => {} };
      verified = {
        byCheckpoints: await verifyLog(tx, { checkpoints, ...whole }),
        byExport: await verifyLog(tx, { checkpoints: [], exported, ...whole }),
      };
      throw undo;
    })
    .catch((error: unknown) => {
      if (error !== undo) throw error;
    });
  if (verified === null) throw new Error("nothing was verified");
  return verified;
}

/** What is wrong with the verdicts: null where both name exactly what was done. */
export function faultOf(tampering: Tampering, { byCheckpoints, byExport }: Verdicts): string | null {
  const { name, byExport: expected = tampering } = tampering;
  const faults = [
    ...misnamed(`${name}, by checkpoints`, tampering, byCheckpoints),
    ...misnamed(`${name}, by an export`, expected, byExport),
  ];
  return faults.length === 0 ? null : faults.join("; ");
}

function misnamed(name: string, { kind, from, to }: Expected, { findings }: Verified): string[] {
  const said = findings.map((each) => `${each.kind} ${each.from} to ${each.to}`).join(", ") || "nothing";
  const [first, ...more] = findings;
  const isNamed = first?.kind === kind && first.from === from && first.to === to && more.length === 0;
  return isNamed ? [] : [`${name}: ${kind} ${from} to ${to}, and what was said is: ${said}`];
}

async function sizeOf(db: Database): Promise<number> {
  const [row] = await db.query<{ size: number }>("SELECT size::int FROM midctl_log_head");
  return row?.size ?? 0;
}
