import type { Tx } from "../../../src/db/database.ts";
import { hashEvent, type SealedEvent } from "../../../src/domain/event-leaf.ts";
import type { FindingKind } from "../../../src/domain/log-findings.ts";
import { hashChildren, hashLeaf } from "../../../src/domain/merkle.ts";
import type { Random } from "../random.ts";

/** A log as it was, and the heads that were kept elsewhere. */
export interface Scene {
  readonly size: number;
  /** The smaller checkpoint, of when a dump was made; and the larger one. */
  readonly dumped: number;
  readonly seen: number;
  /** Events as they were sealed, some to each batch. */
  readonly events: readonly SealedPlace[];
}

export interface SealedPlace {
  /** Public id. */
  readonly id: string;
  readonly batch: number;
  readonly position: number;
}

/** What is found: one kind, of entries or of events. */
export interface Expected {
  readonly kind: FindingKind;
  readonly from: number | null;
  readonly to: number | null;
  /** The events to be named, `ev_…`, each by a finding of its own; [null] for one that names none. */
  readonly events: readonly (string | null)[];
}

/** What an owner of the database does with the triggers off, and what must be said of it. */
export interface Tampering extends Expected {
  readonly name: string;
  /** By whoever has all that the larger checkpoint saw as an export, where that is more than checkpoints alone tell. */
  readonly byExport?: Expected;
  apply(tx: Tx): Promise<void>;
}

type Draw = (random: Random, scene: Scene) => Tampering;

/** Entries behind the last checkpoint are compared with the tree alone, so where both are rewritten it must have seen them. */
const WAYS: Readonly<Record<string, Draw>> = {
  "alters an entry": (random, { size }) => at("altered", random.below(size), alter),
  "alters an entry and its hash": (random, { size }) =>
    at("altered", random.below(size), async (tx, index) => {
      await alter(tx, index);
      await rehash(tx, index);
    }),
  "alters a hash": (random, { size }) =>
    at("altered", random.below(size), (tx, index) =>
      run(tx, `UPDATE midctl_log SET "leafHash" = sha256("leafHash") WHERE "index" = ${index}`),
    ),
  "deletes an entry": (random, { size }) => at("removed", random.below(size - 1), remove),
  "deletes entries and numbers the others anew": (random, { size }) => {
    const from = random.below(size - 4);
    const to = from + random.below(3);
    return span("removed", from, to, async (tx) => {
      await run(tx, `DELETE FROM midctl_log WHERE "index" BETWEEN ${from} AND ${to}`);
      await shift(tx, to + 1, from - to - 1);
    });
  },
  "puts an entry in and numbers the others anew": (random, { size }) =>
    at("inserted", random.below(size), async (tx, index) => {
      await shift(tx, index, 1);
      await forge(tx, index);
    }),
  "puts an entry before the beginning": () => at("inserted", -1, forge),
  "puts an entry behind the end": (_random, { size }) => at("inserted", size, forge),
  "puts several entries in and numbers the others anew": (random, { size }) => {
    const from = random.below(size);
    const to = from + 1 + random.below(4);
    return span("inserted", from, to, async (tx) => {
      await shift(tx, from, to - from + 1);
      for (let index = from; index <= to; index++) await forge(tx, index);
    });
  },
  "swaps two entries": (random, { size }) => {
    const from = random.below(size - 1);
    const to = from + 1 + random.below(size - from - 1);
    return span("reordered", from, to, async (tx) => {
      await run(tx, `UPDATE midctl_log SET "index" = -1 WHERE "index" = ${from}`);
      await run(tx, `UPDATE midctl_log SET "index" = ${from} WHERE "index" = ${to}`);
      await run(tx, `UPDATE midctl_log SET "index" = ${to} WHERE "index" = -1`);
    });
  },
  "deletes the end": (random, { size }) => {
    const from = 1 + random.below(size - 1);
    return span("truncated", from, size - 1, (tx) =>
      run(tx, `DELETE FROM midctl_log WHERE "index" >= ${from}`),
    );
  },
  "cuts the log and its head": (random, { seen }) => {
    const from = 4 + random.below(seen - 8);
    return span("truncated", from, seen - 1, async (tx) => {
      await run(tx, `DELETE FROM midctl_log WHERE "index" >= ${from}`);
      const { edge } = stored(await readHashes(tx));
      await setHead(tx, from, edge);
    });
  },
  "restores an old dump": (_random, { dumped, seen }) =>
    span("restored", dumped, seen - 1, (tx) => restore(tx, dumped)),
  "restores an old dump and goes on": (_random, { dumped, seen, size }) =>
    exactly(
      "altered",
      span("rewritten", dumped, seen - 1, async (tx) => {
        await restore(tx, dumped);
        for (let index = dumped; index < size; index++) await forge(tx, index);
        await rebuild(tx);
      }),
    ),
  "rewrites an entry, its hash and the whole tree": (random, { dumped, seen }) => {
    const index = random.below(seen);
    const [from, to] = index < dumped ? [0, dumped - 1] : [dumped, seen - 1];
    const rewritten = span("rewritten", from, to, async (tx) => {
      await alter(tx, index);
      await rehash(tx, index);
      await rebuild(tx);
    });
    return exactly("altered", rewritten, index, index);
  },
  "rewrites the whole tree over an entry as it was": (random, { seen }) =>
    at("tree", random.below(seen), async (tx, index) => {
      const leaves = await readHashes(tx);
      await rebuild(tx, leaves.with(index, hashLeaf("another entry")));
    }),
  "alters the tree": (random, { seen }) => {
    const level = random.below(2);
    // A leaf's hash, or that of four leaves.
    const width = 4 ** level;
    const first = random.below(Math.floor(seen / width / 4) * 4) * width;
    const [position, byte] = [Math.floor(first / width / 4), ((first / width) % 4) * 32 + random.below(32)];
    return span("tree", first, first + width - 1, (tx) =>
      run(
        tx,
        `UPDATE midctl_log_tile SET hashes = set_byte(hashes, ${byte}, get_byte(hashes, ${byte}) # ${1 + random.below(255)}) WHERE level = ${level} AND position = ${position}`,
      ),
    );
  },
};

/** The same of what agents did. */
const EVENT_WAYS: Readonly<Record<string, Draw>> = {
  "alters an event": (random, { events }) => {
    const { id } = random.pick(events);
    return ofEvent("event_altered", [id], (tx) => setEvent(tx, id, `metadata = '{"nothing":"to see here"}'`));
  },
  "alters when an event was": (random, { events }) => {
    const { id } = random.pick(events);
    const by = 1 + random.below(1_000_000);
    return ofEvent("event_altered", [id], (tx) =>
      setEvent(tx, id, `"createdAt" = "createdAt" - interval '${by} microseconds'`),
    );
  },
  "blames another for an event": (random, { events }) => {
    const { id } = random.pick(events);
    return ofEvent("event_altered", [id], (tx) =>
      setEvent(tx, id, `"agentTokenId" = (SELECT id FROM agent_token WHERE "publicId" = 'scapegoat001')`),
    );
  },
  "blames another for an event in its seal": (random, { events }) => {
    const { id } = random.pick(events);
    return ofEvent("event_altered", [id], (tx) => setSeal(tx, id, "token = 'scapegoat001'"));
  },
  "alters an event and its seal": (random, { events }) => {
    const { id } = random.pick(events);
    return ofEvent("event_altered", [null], async (tx) => {
      await setEvent(tx, id, "action = 'card.another'");
      await reseal(tx, id);
    });
  },
  "swaps two events": (random, { events }) => {
    const [one, other] = twoOf(random, events);
    return ofEvent("event_altered", [one.id, other.id], (tx) =>
      run(
        tx,
        `UPDATE agent_audit_event e SET action = o.action, metadata = o.metadata, "createdAt" = o."createdAt" FROM agent_audit_event o
          WHERE (e."publicId", o."publicId") IN (('${one.id}', '${other.id}'), ('${other.id}', '${one.id}'))`,
      ),
    );
  },
  "lets two seals of a batch change places": (random, { events }) => {
    const { batch } = random.pick(events);
    const [one, other] = twoOf(
      random,
      events.filter((each) => each.batch === batch),
    );
    return ofEvent("event_altered", [null], async (tx) => {
      await setSeal(tx, one.id, "position = -1");
      await setSeal(tx, other.id, `position = ${one.position}`);
      await setSeal(tx, one.id, `position = ${other.position}`);
    });
  },
  "deletes an event": (random, { events }) => {
    const { id } = random.pick(events);
    return ofEvent("event_removed", [id], (tx) => deleteFrom(tx, "agent_audit_event", id));
  },
  "deletes an event and its seal": (random, { events }) => {
    const { id } = random.pick(events);
    return ofEvent("event_removed", [null], async (tx) => {
      await deleteFrom(tx, "agent_audit_event", id);
      await deleteFrom(tx, "midctl_event_seal", id);
    });
  },
  "deletes an event and numbers the seals of its batch anew": (random, { events }) => {
    const { id, batch, position } = random.pick(events);
    return ofEvent("event_removed", [null], async (tx) => {
      await deleteFrom(tx, "agent_audit_event", id);
      await deleteFrom(tx, "midctl_event_seal", id);
      for (const each of events.filter((one) => one.batch === batch && one.position > position))
        await setSeal(tx, each.id, "position = position - 1");
    });
  },
  "puts an event in": () =>
    ofEvent("event_inserted", ["forged000001"], (tx) => forgeEvent(tx, "forged000001")),
  "puts an event in with a seal in a batch that there is": (random, { events }) => {
    const { batch } = random.pick(events);
    return ofEvent("event_inserted", ["forged000001"], async (tx) => {
      await forgeEvent(tx, "forged000001");
      await forgeSeal(tx, "forged000001", batch, events.filter((each) => each.batch === batch).length);
    });
  },
  "puts an event in with a seal in a batch of its own": (random) =>
    ofEvent("event_inserted", ["forged000001"], async (tx) => {
      await forgeEvent(tx, "forged000001");
      await forgeSeal(tx, "forged000001", 1_000 + random.below(1_000), 0);
    }),
  "puts an event in before the others of a batch": (random, { events }) => {
    const { batch } = random.pick(events);
    return ofEvent("event_inserted", [null], async (tx) => {
      for (const each of events.filter((one) => one.batch === batch).reverse())
        await setSeal(tx, each.id, "position = position + 1");
      await forgeEvent(tx, "forged000001");
      await forgeSeal(tx, "forged000001", batch, 0);
    });
  },
};

const ALL_WAYS = { ...WAYS, ...EVENT_WAYS };

export function drawTampering(random: Random, scene: Scene): Tampering {
  const [name, draw] = random.pick(Object.entries(ALL_WAYS));
  return { ...draw(random, scene), name };
}

export function eachTampering(random: Random, scene: Scene): Tampering[] {
  return Object.entries(ALL_WAYS).map(([name, draw]) => ({ ...draw(random, scene), name }));
}

/** What stands in the way of an owner. */
export async function unlock(tx: Tx): Promise<void> {
  for (const table of [
    "midctl_log",
    "midctl_log_tile",
    "midctl_log_head",
    "midctl_event_seal",
    "agent_audit_event",
  ])
    await run(tx, `ALTER TABLE ${table} DISABLE TRIGGER USER`);
  await run(tx, "ALTER TABLE midctl_log DROP CONSTRAINT midctl_log_leaf_check");
}

function at(kind: FindingKind, index: number, apply: (tx: Tx, index: number) => Promise<void>): Tampering {
  return span(kind, index, index, (tx) => apply(tx, index));
}

function span(kind: FindingKind, from: number, to: number, apply: (tx: Tx) => Promise<void>): Tampering {
  return { name: "", kind, from, to, events: [null], apply };
}

function ofEvent(
  kind: FindingKind,
  events: readonly (string | null)[],
  apply: (tx: Tx) => Promise<void>,
): Tampering {
  const named = events.map((id) => (id === null ? null : `ev_${id}`));
  return { name: "", kind, from: null, to: null, events: named, apply };
}

function exactly(
  kind: FindingKind,
  tampering: Tampering,
  from = tampering.from,
  to = tampering.to,
): Tampering {
  return { ...tampering, byExport: { kind, from, to, events: [null] } };
}

async function run(tx: Tx, statement: string): Promise<void> {
  await tx.query(statement);
}

function alter(tx: Tx, index: number): Promise<void> {
  return setEntry(tx, index, `jsonb_set(entry::jsonb, '{reason}', '"nothing to see here"')::text`);
}

function setEntry(tx: Tx, index: number, entry: string): Promise<void> {
  return run(tx, `UPDATE midctl_log SET entry = ${entry} WHERE "index" = ${index}`);
}

function rehash(tx: Tx, index: number): Promise<void> {
  return run(
    tx,
    `UPDATE midctl_log SET "leafHash" = sha256('\\x00'::bytea || convert_to(entry, 'UTF8')) WHERE "index" = ${index}`,
  );
}

function remove(tx: Tx, index: number): Promise<void> {
  return run(tx, `DELETE FROM midctl_log WHERE "index" = ${index}`);
}

/** By way of negative numbers: no two rows may have the same. */
async function shift(tx: Tx, from: number, by: number): Promise<void> {
  await run(tx, `UPDATE midctl_log SET "index" = -1 - "index" WHERE "index" >= ${from}`);
  await run(tx, `UPDATE midctl_log SET "index" = -1 - "index" + ${by} WHERE "index" < 0`);
}

/** An entry like another one, with an index of its own. */
function forge(tx: Tx, index: number): Promise<void> {
  return run(
    tx,
    `INSERT INTO midctl_log ("index", entry, "leafHash")
     SELECT ${index}, f.entry, sha256('\\x00'::bytea || convert_to(f.entry, 'UTF8'))
       FROM (SELECT jsonb_set(jsonb_set(entry::jsonb, '{index}', '${index}'), '{reason}', '"forged"')::text AS entry FROM (SELECT entry FROM midctl_log WHERE action = 'identity.create' ORDER BY "index" LIMIT 1) l) f`,
  );
}

/** As the tables were when the log was so long: what a dump of then holds. */
async function restore(tx: Tx, size: number): Promise<void> {
  await run(tx, `DELETE FROM midctl_log WHERE "index" >= ${size}`);
  await rebuild(tx);
}

function setEvent(tx: Tx, id: string, assignment: string): Promise<void> {
  return run(tx, `UPDATE agent_audit_event SET ${assignment} WHERE "publicId" = '${id}'`);
}

function setSeal(tx: Tx, id: string, assignment: string): Promise<void> {
  return run(tx, `UPDATE midctl_event_seal SET ${assignment} WHERE "publicId" = '${id}'`);
}

function deleteFrom(tx: Tx, table: string, id: string): Promise<void> {
  return run(tx, `DELETE FROM ${table} WHERE "publicId" = '${id}'`);
}

function forgeEvent(tx: Tx, id: string): Promise<void> {
  return run(tx, `INSERT INTO agent_audit_event ("publicId", action) VALUES ('${id}', 'card.forged')`);
}

async function forgeSeal(tx: Tx, id: string, batch: number, position: number): Promise<void> {
  await run(
    tx,
    `INSERT INTO midctl_event_seal (batch, position, "publicId", leaf) VALUES (${batch}, ${position}, '${id}', sha256('x'))`,
  );
  await reseal(tx, id);
}

/** As the event is now. */
async function reseal(tx: Tx, id: string): Promise<void> {
  const [row] = await tx.query<SealedEvent>(
    `SELECT e."publicId" AS id, e.action, e."entityType", e."entityId", e.metadata, s.token, s.identity, s.workspace,
            to_char(e."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at
       FROM agent_audit_event e JOIN midctl_event_seal s USING ("publicId") WHERE "publicId" = '${id}'`,
  );
  if (row === undefined) throw new Error(`there is no event ${id}`);
  await setSeal(tx, id, `leaf = decode('${hashEvent(row).toString("hex")}', 'hex')`);
}

function twoOf(random: Random, events: readonly SealedPlace[]): readonly [SealedPlace, SealedPlace] {
  const at = random.below(events.length - 1);
  const [one, other] = [events[at], events[at + 1 + random.below(events.length - at - 1)]];
  if (one === undefined || other === undefined) throw new Error("there are no two events");
  return [one, other];
}

/** Tiles and head over the entries as they lie there, or over other ones, with nothing left of those before. */
async function rebuild(tx: Tx, others?: readonly Buffer[]): Promise<void> {
  const leaves = others ?? (await readHashes(tx));
  const { tiles, edge } = stored(leaves);
  await run(tx, "DELETE FROM midctl_log_tile");
  for (const { level, position, hashes } of tiles)
    await tx.query(
      "INSERT INTO midctl_log_tile (level, position, hashes) VALUES ($1::int, $2::bigint, decode($3, 'hex'))",
      [level, position, hashes.toString("hex")],
    );
  await setHead(tx, leaves.length, edge);
}

async function setHead(tx: Tx, size: number, edge: readonly Buffer[]): Promise<void> {
  const hashes = edge.map((each) => `decode('${each.toString("hex")}', 'hex')`).join(", ");
  await run(tx, `UPDATE midctl_log_head SET size = ${size}, edge = ARRAY[${hashes}]::bytea[]`);
}

async function readHashes(tx: Tx): Promise<Buffer[]> {
  const rows = await tx.query<{ entry: string }>(`SELECT entry FROM midctl_log ORDER BY "index"`);
  return rows.map(({ entry }) => hashLeaf(entry));
}

/** A tree of these leaves as docs/evidence.md has it stored, by another path than the database's. */
function stored(leaves: readonly Buffer[]): {
  readonly tiles: readonly { readonly level: number; readonly position: number; readonly hashes: Buffer }[];
  readonly edge: readonly Buffer[];
} {
  const tiles: { level: number; position: number; hashes: Buffer }[] = [];
  const edge: Buffer[] = [];
  for (let [level, row] = [0, leaves]; row.length > 0; level++) {
    const complete = Math.floor(row.length / 4);
    const above: Buffer[] = [];
    for (let position = 0; position < complete; position++) {
      const four = row.slice(position * 4, position * 4 + 4);
      const [a, b, c, d] = four as [Buffer, Buffer, Buffer, Buffer];
      tiles.push({ level, position, hashes: Buffer.concat(four) });
      above.push(hashChildren(hashChildren(a, b), hashChildren(c, d)));
    }
    edge.push(Buffer.concat(row.slice(complete * 4)));
    row = above;
  }
  return { tiles, edge };
}
