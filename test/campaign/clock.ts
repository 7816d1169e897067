/** How long commands of a kind take, in ms: the median of the latest, so that kills spread over their real duration. */
export class Clock {
  readonly #samples = new Map<string, number[]>();

  note(kind: string, ms: number): void {
    const samples = this.#samples.get(kind) ?? [];
    samples.push(ms);
    this.#samples.set(kind, samples.slice(-9));
  }

  median(kind: string, fallback: number): number {
    const samples = [...(this.#samples.get(kind) ?? [])].sort((a, b) => a - b);
    return samples[Math.floor(samples.length / 2)] ?? fallback;
  }
}
