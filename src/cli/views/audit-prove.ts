import { writeProof } from "../../domain/proof.ts";
import { shellWord } from "../../domain/shell-word.ts";
import type { AuditProveDocument } from "../verbs/audit-prove.ts";
import type { View } from "../view.ts";

/**
 * For people what is proven, for everything else the proof itself.
 * @param out the file that it was written to; null for none
 */
export function viewAuditProve(document: AuditProveDocument, out: string | null = null): View {
  const { checkpoint } = document;
  return [
    { kind: "either", people: viewProven(document, out), programs: writeProof(document) },
    {
      kind: "notice",
      text:
        checkpoint === null
          ? "Nobody signed this head: whoever checks has to have it from elsewhere. Give --key or a file of checkpoints."
          : `\`midctl audit verify --proof ${out === null ? "FILE" : shellWord(out)} --checkpoint-key KEY\` checks it, without the database.`,
    },
  ];
}

function viewProven(
  { kind, origin, index, entry, from, size, path, checkpoint }: AuditProveDocument,
  out: string | null,
): View {
  const head = `${size} ${size === 1 ? "entry" : "entries"}`;
  return [
    {
      kind: "fields",
      fields: [
        [
          "Proven",
          kind === "inclusion"
            ? `log_${index} is in the log`
            : `the log goes on from its first ${from?.size}`,
        ],
        ["Log", origin],
        ["Head", `${head}, ${checkpoint === null ? "not signed" : "signed"}`],
        ["Path", `${path.length} hashes`],
      ],
    },
    ...(entry === null ? [] : [{ kind: "line", cells: [entry] } as const]),
    ...(out === null ? [{ kind: "notice", text: "The proof itself: --out FILE, or --json." } as const] : []),
  ];
}
