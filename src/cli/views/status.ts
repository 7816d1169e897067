import type { StatusDocument } from "../verbs/status.ts";
import { type Block, status, time, type View } from "../view.ts";
import { CREDENTIAL_COLUMNS, credentialRow } from "./credential-fields.ts";
import { movedField } from "./moved.ts";
import { witnessedFields } from "./witnessed.ts";

export function viewStatus(document: StatusDocument): View {
  const {
    place,
    environment,
    server,
    counts,
    expiring,
    moreExpiring,
    verifiers,
    refusedUses,
    openApprovals,
    uncountersigned,
    log,
  } = document;
  const rows = [
    ...Object.entries(counts.identities).map(
      ([state, count]) => ["identities", status(state), count] as const,
    ),
    ...Object.entries(counts.credentials).map(
      ([state, count]) => ["credentials", status(state), count] as const,
    ),
    ...(counts.legacyTokens > 0 ? [["legacy tokens", null, counts.legacyTokens] as const] : []),
  ];
  const blocks: Block[] = [
    {
      kind: "fields",
      fields: [
        ["data", `${place.location} (${place.kind}, by ${place.source})`],
        [
          "environment",
          `${environment.name} (${environment.kind}${environment.protected ? ", protected" : ""})`,
        ],
        ...movedField(environment),
        ["server", `PostgreSQL ${server.version}`],
        ["verifiers", verifiers],
        ["open approvals", openApprovals],
        ...(uncountersigned === 0
          ? []
          : [["glass broken", { text: `${uncountersigned} not countersigned`, tone: "bad" }] as const]),
        ...witnessedFields(log),
      ],
    },
    {
      kind: "table",
      columns: [{ title: "WHAT" }, { title: "STATUS", fixed: true }, { title: "COUNT", align: "right" }],
      rows,
      empty: "There is nothing yet: midctl identity create",
    },
  ];
  if (expiring.length > 0) {
    blocks.push({ kind: "line", cells: ["Ends within a week:"] });
    blocks.push({ kind: "table", columns: CREDENTIAL_COLUMNS, rows: expiring.map(credentialRow) });
    if (moreExpiring)
      blocks.push({ kind: "notice", text: "There are more: midctl list credentials --expiring-within 7d" });
  }
  if (refusedUses.length > 0) {
    blocks.push({ kind: "line", cells: ["Tried within a week, and refused:"] });
    blocks.push({
      kind: "table",
      columns: [
        { title: "REF", fixed: true },
        { title: "IDENTITY", fixed: true },
        { title: "REFUSED AS" },
        { title: "USES", align: "right" },
        { title: "FIRST", optional: true },
        { title: "LAST" },
      ],
      rows: refusedUses.map((use) => [
        use.ref,
        use.identity,
        use.code,
        use.uses,
        time(use.firstAt),
        time(use.lastAt),
      ]),
    });
  }
  return blocks;
}
