import type { Wish } from "./campaign.ts";
import { readMeans } from "./campaign-means.ts";
import { readRunbook } from "./runbook.ts";
import { readRunbookFile } from "./runbook-file.ts";
import type { Setting } from "./runbook-setting.ts";

/** What a runbook orders. @throws MidctlError `usage` that names every line that is wrong */
export function orderOf(
  path: string,
  settings: readonly Setting[],
  reason: string | null,
): Wish & { readonly waitProof: number | undefined } {
  const { words, ...order } = readRunbook(readRunbookFile(path), settings, reason);
  const means = { ...readMeans(words, order.terms.name), again: `--runbook ${path}` };
  return { ...order, means };
}
