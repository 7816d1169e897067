/** "Did you mean": the nearest of some known words. */
import { editDistance } from "../domain/distance.ts";

/** The known word nearest to `word`, if near enough (a third of its letters wrong at most, transpositions as one). */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}
