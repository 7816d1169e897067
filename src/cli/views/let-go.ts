import type { z } from "zod/mini";
import type { letGoSchema } from "../documents.ts";
import type { Block } from "../view.ts";

type LetGo = z.infer<typeof letGoSchema>;

/** How the verifiers let go, in a line; none where nobody had to. */
export function describeLetGo(letGo: LetGo | null): Block[] {
  if (letGo === null || letGo.verifiers === 0) return [];
  const { verifiers, expired } = letGo;
  const text = `${verifiers} ${verifiers === 1 ? "verifier" : "verifiers"} let go in ${Math.round(letGo.ms)} ms`;
  return [
    {
      kind: "notice",
      text:
        expired === 0 ? `${text}.` : `${text}, ${expired} of them when its lease ran out: dead, or cut off.`,
    },
  ];
}
