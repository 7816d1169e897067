import { createHash, type Hash } from "node:crypto";

/** A seal of an event that went with its workspace. */
export interface PrunedSeal {
  readonly batch: number;
  readonly leaf: Uint8Array;
  /** Public ids, of the event and whose it was. */
  readonly id: string;
  readonly token: string | null;
  readonly identity: string | null;
}

/** So many batches have a hash in common. */
const BLOCK = 4_096;

/**
 * The hash by which the entry of a workspace's deletion says which sealed events went with it (migrations/…_pruned.sql): SHA-256 over
 * the lines of each batch, over these hashes of each 4,096 batches, and over those. Takes seals in the order of batch and position.
 */
export class PrunedSeals {
  readonly #all = sha256();
  #block: Hash | null = null;
  #batch: Hash | null = null;
  #last: number | null = null;

  add({ batch, leaf, id, token, identity }: PrunedSeal): void {
    if (batch !== this.#last) this.#begin(batch);
    const line = `${Buffer.from(leaf).toString("hex")} ${id} ${token ?? "-"} ${identity ?? "-"}\n`;
    this.#batch?.update(line);
  }

  /** Hex. To be called once, after the last. */
  digest(): string {
    this.#endBatch();
    this.#endBlock();
    return this.#all.digest("hex");
  }

  #begin(batch: number): void {
    this.#endBatch();
    if (blockOf(batch) !== blockOf(this.#last ?? batch)) this.#endBlock();
    this.#batch = sha256();
    this.#block ??= sha256();
    this.#last = batch;
  }

  #endBatch(): void {
    if (this.#batch !== null) this.#block?.update(this.#batch.digest());
    this.#batch = null;
  }

  #endBlock(): void {
    if (this.#block !== null) this.#all.update(this.#block.digest());
    this.#block = null;
  }
}

const sha256 = (): Hash => createHash("sha256");
const blockOf = (batch: number): number => Math.floor(batch / BLOCK);
