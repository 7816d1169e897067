import { EMPTY_ROOT, hashChildren, type TreeNode } from "./merkle.ts";

/** A tree that grows leaf by leaf, in the memory of one hash for each of its levels (RFC 9162 §2.1). */
export class TreeBuilder {
  /** By level: the complete subtree that waits for its right sibling. */
  readonly #waiting: (Uint8Array | undefined)[] = [];
  #size = 0;

  /** @param peaks the complete subtrees of a tree that there is, as `peaksOf` names them */
  constructor(peaks: readonly { readonly node: TreeNode; readonly hash: Uint8Array }[] = []) {
    for (const { node, hash } of peaks) {
      this.#waiting[node.level] = hash;
      this.#size += 2 ** node.level;
    }
  }

  get size(): number {
    return this.#size;
  }

  /**
   * @param hash of a leaf, or of a complete subtree of the given height, where so many leaves are a multiple of its own
   * @param onNode told of each subtree above it that is complete by it, from below
   */
  add(hash: Uint8Array, onNode?: (node: TreeNode, hash: Uint8Array) => void, height = 0): void {
    let [grown, level, index] = [hash, height, this.#size / 2 ** height];
    for (let left = this.#waiting[level]; left !== undefined; left = this.#waiting[level]) {
      this.#waiting[level] = undefined;
      grown = hashChildren(left, grown);
      level++;
      index = Math.floor(index / 2);
      onNode?.({ level, index }, grown);
    }
    this.#waiting[level] = grown;
    this.#size += 2 ** height;
  }

  /** Of the tree so far. */
  root(): Uint8Array {
    const peaks = this.#waiting.filter((hash) => hash !== undefined);
    const [lowest, ...higher] = peaks;
    if (lowest === undefined) return EMPTY_ROOT;
    return higher.reduce((right, left) => hashChildren(left, right), lowest);
  }

  /** Another one that goes on from here by itself. */
  branch(): TreeBuilder {
    const other = new TreeBuilder();
    other.#waiting.push(...this.#waiting);
    other.#size = this.#size;
    return other;
  }
}
