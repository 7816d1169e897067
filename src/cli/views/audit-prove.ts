import { writeProof } from "../../domain/proof.ts";
import type { AuditProveDocument } from "../verbs/audit-prove.ts";
import type { View } from "../view.ts";

/** For people what is proven, for everything else the proof itself. */
export function viewAuditProve(document: AuditProveDocument): View {
  const { checkpoint } = document;
  return [
    { kind: "either", people: viewProven(document), programs: writeProof(document) },
    {
      kind: "notice",
      text:
        checkpoint === null
          ? "Nobody signed this head: whoever checks has to have it from elsewhere. Give --key or a file of checkpoints."
          : "midctl audit verify --proof FILE --checkpoint-key KEY checks it, without the database.",
    },
  ];
}

function viewProven({ kind, origin, index, entry, from, size, path, checkpoint }: AuditProveDocument): View {
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
    { kind: "notice", text: "The proof itself: --out FILE, or --json." },
  ];
}
