import type { Database } from "../../../src/db/database.ts";
import type { Checkpoint } from "../../../src/domain/checkpoint.ts";
import { readHead } from "../../../src/operations/audit-checkpoint.ts";
import { type Verified, verifyLog } from "../../../src/operations/audit-verify.ts";
import { type Scene, type Tampering, unlock } from "./tamperings.ts";

export interface Prepared extends Scene {
  readonly checkpoints: readonly Checkpoint[];
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
  return { size, dumped, seen, checkpoints };
}

/** What `audit verify` says of a log that was tampered with; of which nothing stays. */
export async function tryTampering(
  db: Database,
  { checkpoints }: Prepared,
  { apply }: Tampering,
): Promise<Verified> {
  let verified: Verified | null = null;
  const undo = new Error("undone");
  await db
    .transaction(async (tx) => {
      await unlock(tx);
      await apply(tx);
      verified = await verifyLog(tx, { checkpoints, onlyNew: false, onProgress: () => {} });
      throw undo;
    })
    .catch((error: unknown) => {
      if (error !== undo) throw error;
    });
  if (verified === null) throw new Error("nothing was verified");
  return verified;
}

/** What is wrong with a verdict: null where it names exactly what was done. */
export function faultOf({ name, kind, from, to }: Tampering, { findings }: Verified): string | null {
  const said = findings.map((each) => `${each.kind} ${each.from} to ${each.to}`).join(", ") || "nothing";
  const [first, ...more] = findings;
  const isNamed = first?.kind === kind && first.from === from && first.to === to && more.length === 0;
  return isNamed ? null : `${name}: ${kind} ${from} to ${to}, and what was said is: ${said}`;
}

async function sizeOf(db: Database): Promise<number> {
  const [row] = await db.query<{ size: number }>("SELECT size::int FROM midctl_log_head");
  return row?.size ?? 0;
}
