import type { AuditExportDocument } from "../verbs/audit-export.ts";
import type { View } from "../view.ts";

export function viewAuditExport(document: AuditExportDocument): View {
  const { file, from, size, exported, verifierKey } = document;
  const count = `${exported} ${exported === 1 ? "entry" : "entries"}`;
  return [
    {
      kind: "line",
      cells: [
        exported === 0
          ? `Nothing new: ${file} has the log's ${size} entries.`
          : `${count} written to ${file}${from === 0 ? "" : `, from ${from} on`}; the log has ${size}.`,
      ],
    },
    ...(verifierKey === null ? [] : [{ kind: "notice", text: `Verifier key: ${verifierKey}` } as const]),
  ];
}
