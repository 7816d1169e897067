import { judgeNote, parseCheckpoint, type SignedCheckpoint, type VerifierKey } from "./checkpoint.ts";
import { MidctlError } from "./errors.ts";
import { type ExportedHead, type ExportLine, type ExportReader, isHead } from "./log-export.ts";
import type { Verdict, Vouchers } from "./proof.ts";

/** Holds an export that is read line by line against whoever vouches for what it comes to. */
export class ExportJudge {
  readonly #reader: ExportReader;
  readonly #key: VerifierKey | null;
  /** By size; those of other logs are compared with none. */
  readonly #kept: readonly SignedCheckpoint[] | null;
  #next = 0;
  readonly #vouched: number[] = [];

  constructor(reader: ExportReader, { key, kept }: Vouchers) {
    this.#reader = reader;
    this.#key = key;
    this.#kept = kept === null ? null : [...kept].sort((a, b) => a.size - b.size);
  }

  /**
   * @param line that the reader has just taken
   * @throws MidctlError `conflict` where a checkpoint in the export, or one that was kept, is not of these entries
   */
  take(line: ExportLine): void {
    if (isHead(line) && line.checkpoint !== null) this.#takeNote(line, line.checkpoint);
    this.#compareKept();
  }

  /**
   * At the end of the lines.
   * @throws MidctlError `conflict` where nothing that was given vouches for any of it
   */
  end(): Verdict & { readonly head: ExportedHead } {
    const head = this.#reader.end();
    if (this.#kept === null && this.#key === null) return { head, checked: "arithmetic", vouched: [] };
    if (this.#vouched.length > 0) {
      return {
        head,
        checked: this.#key === null ? "checkpoint" : "signature",
        vouched: [Math.max(...this.#vouched)],
      };
    }
    throw this.#kept === null
      ? broken("signature", "No head in it is signed", {
          hint: "Have it made with --key, or give --checkpoint with a file of checkpoints.",
        })
      : broken("kept", "None of the checkpoints that were kept is of what it holds");
  }

  #takeNote({ origin, size, root }: ExportedHead, note: string): void {
    const signed = parseCheckpoint(note);
    if (signed?.origin !== origin || signed.size !== size || !signed.root.equals(root)) {
      throw broken("checkpoint", `The checkpoint in it for ${size} entries is not of its head`);
    }
    if (this.#key === null) return;
    const verdict = judgeNote(signed, this.#key);
    if (verdict === "bad") {
      throw broken("signature", `The key's signature under the checkpoint for ${size} entries does not hold`);
    }
    // What another key signed is vouched for by that one.
    if (verdict === "good" && this.#kept === null) this.#vouched.push(size);
  }

  #compareKept(): void {
    const { size, first } = this.#reader;
    for (;;) {
      const kept = this.#kept?.[this.#next];
      if (kept === undefined || kept.size > size) return;
      this.#next++;
      // What lies before the export is not in it.
      if (kept.size < size || kept.origin !== first?.origin) continue;
      if (!kept.root.equals(this.#reader.root())) {
        throw broken("kept", `A checkpoint that was kept has another root over ${size} entries`, {
          hint: "Keep both: the log was rewritten between them, or one of them is forged.",
        });
      }
      this.#vouched.push(size);
    }
  }
}

function broken(fails: string, what: string, { hint }: { readonly hint?: string } = {}): MidctlError {
  return new MidctlError("conflict", `The export does not hold. ${what}; nothing is proven.`, {
    hint: hint ?? "Ask whoever gave it for a new one, and keep this one if that fails too.",
    details: { fails },
  });
}
