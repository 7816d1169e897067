import type { ProofVerdict } from "../verify-proof.ts";
import type { Cell, View } from "../view.ts";

export function viewProofVerdict(verdict: ProofVerdict): View {
  const { kind, index, entry, origin, size, from, checked } = verdict;
  const said =
    kind === "inclusion"
      ? `log_${index} is in the log`
      : kind === "export"
        ? `the entries in the file${from === 0 ? "" : `, from ${from} on,`} are those of its last head`
        : `the log goes on from its first ${from}`;
  return [
    {
      kind: "fields",
      fields: [
        // Anybody can make up a log for which the arithmetic is right.
        checked === "arithmetic"
          ? [
              "Unproven",
              { text: `consistent in itself, and vouched for by nobody: ${said}`, tone: "warn" } as const,
            ]
          : ["Proven", said],
        ["Log", origin],
        ["Head", `${size} ${size === 1 ? "entry" : "entries"}`],
        ["Checked", sayChecked(verdict)],
      ],
    },
    ...(entry === null ? [] : [{ kind: "line", cells: [entry] } as const]),
  ];
}

function sayChecked({ checked, vouched, kind, size }: ProofVerdict): Cell {
  if (checked === "arithmetic") {
    return {
      text: "the arithmetic alone; --checkpoint-key or --checkpoint tells who vouches for it",
      tone: "warn",
    };
  }
  const by =
    checked === "signature" ? "signed by the key that was given" : "among the checkpoints that were kept";
  if (kind === "export") {
    const upTo = vouched[0] ?? 0;
    return upTo === size
      ? { text: `all of it is ${by}`, tone: "good" }
      : {
          text: `its first ${upTo} entries are ${by}; nobody vouches for the ${size - upTo} after them`,
          tone: "warn",
        };
  }
  if (kind === "inclusion") return { text: `its head is ${by}`, tone: "good" };
  const later = vouched.includes(size);
  const whose = vouched.length === 2 ? "both heads are" : `the ${later ? "later" : "earlier"} head is`;
  return later
    ? { text: `${whose} ${by}`, tone: "good" }
    : { text: `${whose} ${by}; nobody vouches for the later one`, tone: "warn" };
}
