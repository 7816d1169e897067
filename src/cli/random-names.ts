import { randomBytes } from "node:crypto";

/** So many random bytes are asked for at once. */
const BLOCK = 8192;
let block = Buffer.alloc(0);

/**
 * As `randomBytes`, for names by the thousand: asking for each costs more than all else that is done for it. Never for secrets, since
 * what is drawn stays in memory.
 */
export function bytesByTheBlock(count: number): Buffer {
  if (block.length < count) block = randomBytes(Math.max(count, BLOCK));
  const drawn = block.subarray(0, count);
  block = block.subarray(count);
  return drawn;
}
