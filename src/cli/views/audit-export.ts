import type { AuditExportDocument } from "../verbs/audit-export.ts";
import type { View } from "../view.ts";

/** What became of the file's last head where no entry was written: the document does not tell. */
export type HeadAlone = "began" | "signed" | "stands";

export function viewAuditExport(document: AuditExportDocument, head: HeadAlone = "stands"): View {
  const { verifierKey } = document;
  return [
    { kind: "line", words: true, cells: [sayWritten(document, head)] },
    ...(verifierKey === null ? [] : [{ kind: "notice", text: `Verifier key: ${verifierKey}` } as const]),
  ];
}

function sayWritten({ file, from, size, exported }: AuditExportDocument, head: HeadAlone): string {
  if (exported === 0 && head === "stands") return `Nothing new: ${file} has the log's ${size} entries.`;
  if (exported === 0 && head === "signed") {
    return `No new entries: the head of the log's ${size} was signed, and written to ${file}.`;
  }
  const count = `${exported} ${exported === 1 ? "entry" : "entries"}`;
  return `${count} written to ${file}${from === 0 ? "" : `, from ${from} on`}; the log has ${size}.`;
}
