import type { AuditCheckpointDocument } from "../verbs/audit-checkpoint.ts";
import type { View } from "../view.ts";

export function viewAuditCheckpoint(document: AuditCheckpointDocument): View {
  const { note, file, size, verifierKey } = document;
  if (note === null) {
    const { origin, root } = document;
    return [
      { kind: "line", cells: [origin] },
      { kind: "line", cells: [String(size)] },
      { kind: "line", cells: [root] },
      { kind: "notice", text: "Not signed: give --key with an Ed25519 key's file, or --key agent." },
    ];
  }
  const lines = note.slice(0, -1).split("\n");
  return [
    ...lines.map((line) => ({ kind: "line", cells: [line] }) as const),
    ...(file === null ? [] : [{ kind: "notice", text: sayFile(file, document) } as const]),
    { kind: "notice", text: `Verifier key: ${verifierKey}` },
  ];
}

function sayFile(file: string, { appended, since, size }: AuditCheckpointDocument): string {
  if (!appended) return since === size ? `${file} ends with this head already.` : `Not appended to ${file}.`;
  return `Appended to ${file}${since === null ? "" : `; the log goes on from its last checkpoint, of size ${since}`}.`;
}
