/** The receipt of a campaign: what was approved and by whom, and what became of each target, signed by whoever ran it. */
import { existsSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Database } from "../db/database.ts";
import { canonicalText } from "../domain/canonical.ts";
import { MidctlError } from "../domain/errors.ts";
import { quote } from "../domain/visible.ts";
import { readReceipt } from "../operations/campaign/receipt.ts";
import type { Campaign } from "../repository/campaign.ts";
import type { VerbContext } from "./context.ts";
import { writeNewFile } from "./new-file.ts";
import { openReceiptKey } from "./signing.ts";

export const receiptOptions = {
  receipt: {
    value: "FILE",
    summary:
      "write what was approved and what became of each target into this new file, signed by --key into FILE.sig",
  },
} as const;

/** Writes the receipt of a campaign as it stands. */
export type WriteReceipt = (db: Database, campaign: Campaign) => Promise<void>;

export interface ReceiptWords {
  readonly file: string;
  readonly key: string;
}

/** @throws MidctlError `usage` for a receipt that nobody would sign */
export function readReceiptWords(words: {
  readonly receipt: string | undefined;
  readonly key: string | undefined;
}): ReceiptWords | null {
  if (words.receipt === undefined) return null;
  if (words.key !== undefined) return { file: words.receipt, key: words.key };
  throw new MidctlError("usage", "a receipt is signed; nothing was changed", {
    hint: "--key FILE with your SSH key, or --key agent",
  });
}

/**
 * Sees beforehand that the files are new and the key is one; then writes the receipt of a campaign as it stands.
 * @throws MidctlError `conflict` for a file that is there, `usage` for what is no key
 */
export async function prepareReceipt(
  context: VerbContext,
  { file, key }: ReceiptWords,
): Promise<WriteReceipt> {
  for (const path of [file, `${file}.sig`]) {
    if (existsSync(path)) {
      throw new MidctlError(
        "conflict",
        `${quote(path)} exists and is not overwritten; nothing was changed.`,
        {
          hint: "give --receipt with a new file",
        },
      );
    }
  }
  if (statSync(dirname(resolve(file)), { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new MidctlError("usage", `the directory of ${quote(file)} does not exist; nothing was changed`, {
      hint: "make it first, or give --receipt in one that is there",
    });
  }
  const signer = await openReceiptKey(context, key);
  return async (db, campaign) => {
    const text = canonicalText(await readReceipt(db, campaign));
    const { signature } = await signer.sign(text);
    const said = {
      undone: "the campaign stands as it is, without a receipt",
      hint: `midctl runbook resume ${campaign.id} with another --receipt writes it`,
    };
    writeNewFile(file, text, said);
    writeNewFile(`${file}.sig`, signature, said);
    context.notice(`${file} is the receipt of ${campaign.id}, and ${file}.sig the signature under it.`);
  };
}
