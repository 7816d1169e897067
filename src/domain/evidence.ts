/** What the log was compared with as it was verified; where its head was kept as it was anchored. */
export const EVIDENCE_AGAINST = ["itself", "export", "checkpoint", "signed_checkpoint"] as const;
export type EvidenceAgainst = (typeof EVIDENCE_AGAINST)[number];

/** In words. */
export const AGAINST: Readonly<Record<EvidenceAgainst, string>> = {
  itself: "itself alone",
  export: "an export",
  checkpoint: "checkpoints",
  signed_checkpoint: "signed checkpoints",
};

const OPTIONS = {
  itself: "",
  export: " --export FILE",
  checkpoint: " --checkpoint FILE",
  signed_checkpoint: " --checkpoint FILE --checkpoint-key KEY",
} as const satisfies Record<EvidenceAgainst, string>;

/** The command that compares the log with that again, and names what it finds. */
export function verifyAgainst(against: EvidenceAgainst): string {
  return `midctl audit verify${OPTIONS[against]}`;
}
