import type { Tx } from "../db/database.ts";
import { type Checkpoint, originOf } from "../domain/checkpoint.ts";
import { MidctlError } from "../domain/errors.ts";
import { consistencyRanges, isConsistent, readRoots } from "../domain/merkle.ts";
import { readNodesOf } from "../domain/tile.ts";
import { readTree } from "../repository/tree.ts";

/**
 * The head of the log: its origin, its size and the root of the tree over it (RFC 9162), by as many rows as the tree has levels.
 * @param last a checkpoint that was signed before: what follows it has to begin with all that it saw
 * @throws MidctlError `conflict` where the log does not go on from there: it is another database's, truncated or rewritten
 */
export async function readHead(db: Tx, last: Checkpoint | null): Promise<Omit<Checkpoint, "extensions">> {
  const tree = await readTree(db);
  const origin = originOf(tree.databaseId);
  const head = { begin: 0, end: tree.size };
  if (last === null) {
    const [root = Buffer.alloc(0)] = await readRoots([head], readNodesOf(tree));
    return { origin, size: tree.size, root };
  }
  if (last.origin !== origin) {
    throw new MidctlError(
      "conflict",
      `The last checkpoint is of another log (${last.origin}, and this is ${origin}); nothing was signed.`,
      { hint: "Give --out a file of its own for each database." },
    );
  }
  if (tree.size < last.size) {
    throw broken(
      `The log has ${tree.size} entries, and its last checkpoint saw ${last.size}: it was truncated, or restored from before`,
      tree.size,
      last.size,
    );
  }
  const ranges = [head, ...consistencyRanges(last.size, tree.size)];
  const [root = Buffer.alloc(0), ...path] = await readRoots(ranges, readNodesOf(tree));
  const grown = { first: last.size, firstRoot: last.root, second: tree.size, secondRoot: root, path };
  if (!isConsistent(grown)) {
    throw broken(
      `The log's first ${last.size} entries are not those that its last checkpoint saw: it was rewritten`,
      tree.size,
      last.size,
    );
  }
  return { origin, size: tree.size, root };
}

function broken(what: string, size: number, seen: number): MidctlError {
  return new MidctlError("conflict", `${what}; nothing was signed.`, {
    hint: "Keep the checkpoints, and find out who wrote to the database: its owner, or whoever restored it.",
    details: { size, seen },
  });
}
