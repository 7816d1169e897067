import type { DoctorDocument } from "../verbs/doctor.ts";
import type { Cell, View } from "../view.ts";

export function viewDoctor({ place, checks, findings }: DoctorDocument): View {
  return [
    {
      kind: "table",
      columns: [{ title: "CHECK", fixed: true }, { title: "FOUND" }, { title: "MEND WITH" }],
      rows: checks.flatMap((check): (readonly Cell[])[] => {
        const found = findings.filter((finding) => finding.check === check);
        if (found.length === 0) return [[check, { text: "in order", tone: "good" } as const, null]];
        return found.map((finding) => [
          check,
          { text: finding.message, tone: finding.severity === "error" ? "bad" : "warn" } as const,
          finding.mend,
        ]);
      }),
    },
    { kind: "notice", text: `Examined ${place.location}.` },
  ];
}
