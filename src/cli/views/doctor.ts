import type { DoctorDocument } from "../verbs/doctor.ts";
import type { Block, View } from "../view.ts";
import { witnessedFields } from "./witnessed.ts";

/** Every check with its outcome, then each finding whole: what mends it is meant to be copied. */
export function viewDoctor({ place, checks, findings, log }: DoctorDocument): View {
  const blocks: Block[] = [
    {
      kind: "table",
      columns: [{ title: "CHECK", fixed: true }, { title: "OUTCOME" }],
      rows: checks.map((check) => {
        const found = findings.filter((finding) => finding.check === check);
        if (found.length === 0) return [check, { text: "in order", tone: "good" }];
        if (found.every(({ severity }) => severity === "info")) return [check, "worth knowing"];
        const bad = found.some((finding) => finding.severity === "error");
        return [check, { text: `${found.length} found`, tone: bad ? "bad" : "warn" }];
      }),
    },
  ];
  for (const { check, severity, message, mend } of findings) {
    blocks.push({
      kind: "fields",
      title: check,
      fields: [
        [
          "found",
          severity === "info" ? message : { text: message, tone: severity === "error" ? "bad" : "warn" },
        ],
        ["mend with", mend],
      ],
    });
  }
  if (log !== null) blocks.push({ kind: "fields", fields: witnessedFields(log) });
  blocks.push({ kind: "notice", text: `Examined ${place.location}.` });
  return blocks;
}
