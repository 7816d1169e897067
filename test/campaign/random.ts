/** Draws that a seed and a round determine, whatever happened in the rounds before. */
export interface Random {
  /** Uniform in [0, 1). */
  unit(): number;
  /** Uniform in 0 … below-1. */
  below(below: number): number;
  /** True in `share` of all draws. */
  chance(share: number): boolean;
  pick<T>(items: readonly T[]): T;
  /** One of the items, each as likely as its weight. */
  weigh<T>(items: readonly { readonly weight: number; readonly value: T }[]): T;
}

export function createRandom(seed: number, round: number): Random {
  // mulberry32, started at a mix of both numbers: neighbouring rounds share nothing.
  let state = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(round + 1, 0xc2b2ae35)) >>> 0;
  const unit = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
  const below = (limit: number): number => Math.floor(unit() * limit);
  const weigh = <T>(items: readonly { readonly weight: number; readonly value: T }[]): T => {
    let left = unit() * items.reduce((sum, { weight }) => sum + weight, 0);
    for (const { weight, value } of items) {
      left -= weight;
      if (left < 0) return value;
    }
    return (items.at(-1) as { readonly value: T }).value;
  };
  return {
    unit,
    below,
    chance: (share) => unit() < share,
    pick: <T>(items: readonly T[]): T => items[below(items.length)] as T,
    weigh,
  };
}
