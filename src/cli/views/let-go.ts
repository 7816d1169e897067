import type { z } from "zod/mini";
import type { letGoSchema } from "../documents.ts";
import type { Block } from "../view.ts";

type LetGo = z.infer<typeof letGoSchema>;

/** How the verifiers let go, in a line; none where nobody had to. */
export function describeLetGo(each: readonly (LetGo | null)[]): Block[] {
  const waited = each.filter((letGo) => letGo !== null && letGo.verifiers > 0) as readonly LetGo[];
  if (waited.length === 0) return [];
  const most = Math.max(...waited.map(({ verifiers }) => verifiers));
  const expired = waited.reduce((sum, letGo) => sum + letGo.expired, 0);
  const ms = Math.round(waited.reduce((sum, letGo) => sum + letGo.ms, 0));
  const text = `${most} ${most === 1 ? "verifier" : "verifiers"} let go in ${ms} ms`;
  return [
    {
      kind: "notice",
      text:
        expired === 0 ? `${text}.` : `${text}, ${expired} of them when its lease ran out: dead, or cut off.`,
    },
  ];
}
