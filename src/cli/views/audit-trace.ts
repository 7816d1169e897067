import type { AuditTraceDocument } from "../verbs/audit-trace.ts";
import { type Block, type Cell, status, time, type View } from "../view.ts";
import { EVENT_COLUMNS, eventRow } from "./event-table.ts";

export function viewAuditTrace({ identity, lives, cut }: AuditTraceDocument): View {
  const blocks: Block[] = [];
  for (const life of lives) {
    // In tab-separated text nothing else tells where one life ends.
    if (life !== lives[0]) blocks.push({ kind: "line", cells: [""] });
    blocks.push({ kind: "fields", fields: fieldsOf(life, identity) });
    blocks.push({
      kind: "table",
      columns: EVENT_COLUMNS,
      rows: rowsOf(life, identity?.slug ?? null),
      empty: "The log says nothing about it.",
    });
    if (life.cut)
      blocks.push({
        kind: "notice",
        text: `More happened to ${life.id}: midctl audit --credential ${life.id}`,
      });
  }
  if (identity !== null && lives.length === 0) {
    blocks.push({ kind: "notice", text: `${identity.slug} has no credential, and never had one.` });
  }
  if (cut)
    blocks.push({
      kind: "notice",
      text: `${identity?.slug} has older credentials: midctl list credentials --identity ${identity?.slug}`,
    });
  return blocks;
}

type Life = AuditTraceDocument["lives"][number];

/** Whose life it is comes first. */
function fieldsOf(life: Life, identity: AuditTraceDocument["identity"]): (readonly [string, Cell])[] {
  const { uses } = life;
  const all: (readonly [string, Cell])[] = [
    [identity === null ? "legacy token" : "credential", { text: life.id, tone: "strong" }],
    ["identity", identity?.slug ?? null],
    ["owner", identity?.owner ?? null],
    ["name", life.name],
    ["status", status(life.effectiveStatus)],
    ["replaces", life.replaces],
    ["replaced by", life.replacedBy],
    ["expires", time(life.expiresAt)],
    ["grace until", time(life.graceUntil)],
    ["last used", time(uses.lastUsedAt)],
    ["refused", uses.refused === 0 ? null : `${uses.refused} uses, ${uses.lastRefusal?.code}`],
    ["last refused", time(uses.lastRefusal?.at ?? null)],
  ];
  return all.filter(([, value]) => value !== null);
}

/** Its steps, and among them the first and the last of what its bearer did. */
function rowsOf({ steps, uses, id }: Life, slug: string | null): (readonly Cell[])[] {
  const who = slug ?? id;
  const rows = steps.map((step) => ({ at: step.at, cells: eventRow(step) }));
  const did = (at: string | null, what: string): void => {
    if (at === null) return;
    const place = rows.findIndex((row) => row.at > at);
    rows.splice(place < 0 ? rows.length : place, 0, {
      at,
      cells: [time(at), null, who, what, "agent.event", slug, id, null, null, null],
    });
  };
  did(
    uses.firstEventAt,
    uses.events === 1 ? "did the one thing that was noted" : `did the first of ${uses.events} things`,
  );
  if (uses.events > 1) did(uses.lastEventAt, `did the last of ${uses.events} things`);
  return rows.map(({ cells }) => cells);
}
