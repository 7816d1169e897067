import type { Database } from "../../../src/db/database.ts";
import type { Checkpoint } from "../../../src/domain/checkpoint.ts";
import { ExportedLeaves } from "../../../src/domain/log-export.ts";
import type { Finding } from "../../../src/domain/log-findings.ts";
import { EMPTY_ROOT, hashLeaf } from "../../../src/domain/merkle.ts";
import { readHead } from "../../../src/operations/audit-checkpoint.ts";
import { type ExportedLog, type Verified, verifyLog } from "../../../src/operations/audit-verify.ts";
import { sealEvents } from "../../../src/operations/events-seal.ts";
import { readLeaves } from "../../../src/repository/tree.ts";
import { type Expected, type Scene, type SealedPlace, type Tampering, unlock } from "./tamperings.ts";

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

/** Events of one batch, and entries between two batches. */
const EVENTS = 4;
const APART = 12;

/** A log of so many entries, some of them seals of events, with two heads kept on the way: as it was dumped, and as it was last seen. */
export async function prepare(
  db: Database,
  size: number,
  [dumped, seen]: readonly [number, number] = [Math.floor(size * 0.4), Math.floor(size * 0.8)],
): Promise<Prepared> {
  const checkpoints: Checkpoint[] = [];
  await db.query(
    `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash")
     VALUES ('agent0000001', 'agent', 'legacy', repeat('1', 64)), ('scapegoat001', 'other', 'legacy', repeat('2', 64))`,
  );
  for (const until of [dumped, seen, size]) {
    for (let at = await sizeOf(db); at < until; at = await sizeOf(db)) {
      if (at % APART === APART - 1) {
        await sealSome(db, at);
        continue;
      }
      await db.query(
        `INSERT INTO machine_identity ("publicId", slug, kind, "displayName", owner)
         SELECT lpad((${at} + n)::text, 12, '0'), 'svc-' || ${at} + n, 'service', 'svc', 'team' FROM generate_series(1, ${Math.min(1 + (at % 6), until - at, APART - 1 - (at % APART))}) n`,
      );
    }
    if (until < size) checkpoints.push({ ...(await readHead(db, null)), extensions: [] });
  }
  const head = checkpoints.at(-1) as Checkpoint;
  const leaves = new ExportedLeaves(0);
  for (const { entry } of await readLeaves(db, 0, seen)) leaves.add(hashLeaf(entry));
  const events = await db.query<SealedPlace>(
    `SELECT "publicId" AS id, batch::float8 AS batch, position FROM midctl_event_seal ORDER BY batch, position`,
  );
  return { size, dumped, seen, events, checkpoints, exported: { begun: EMPTY_ROOT, leaves, head } };
}

async function sealSome(db: Database, at: number): Promise<void> {
  await db.query(
    `INSERT INTO agent_audit_event ("publicId", "agentTokenId", action, metadata, "createdAt")
     SELECT 'event' || lpad((${at} * 10 + n)::text, 7, '0'), (SELECT id FROM agent_token WHERE "publicId" = 'agent0000001'), 'card.move', to_json(n)::text,
            TIMESTAMP '2026-01-01' + make_interval(secs => ${at} * 10 + n) FROM generate_series(1, ${EVENTS}) n`,
  );
  await sealEvents(db);
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
      const whole = { verified: 0, onProgress: () => {} };
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

function misnamed(name: string, { events, ...done }: Expected, { findings }: Verified): string[] {
  const must = events.map((event) => sayOf({ ...done, event })).join(", ");
  const said = findings.map(sayOf).join(", ") || "nothing";
  return said === must ? [] : [`${name}: ${must}, and what was said is: ${said}`];
}

function sayOf({ kind, from, to, event }: Pick<Finding, "kind" | "from" | "to" | "event">): string {
  return event === null ? `${kind} ${from} to ${to}` : `${kind} ${event}`;
}

async function sizeOf(db: Database): Promise<number> {
  const [row] = await db.query<{ size: number }>("SELECT size::int FROM midctl_log_head");
  return row?.size ?? 0;
}
