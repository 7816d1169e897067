import type { Tx } from "../db/database.ts";
import { type Checkpoint, originOf } from "../domain/checkpoint.ts";
import { MidctlError } from "../domain/errors.ts";
import { isEdgeOf } from "../domain/tile.ts";
import { readTree } from "../repository/tree.ts";
import { readGrowth, readRoot } from "./log-head.ts";

/**
 * The head of the log: its origin, its size and the root of the tree over it (RFC 9162), by as many rows as the tree has levels.
 * @param last a checkpoint that was signed before: what follows it has to begin with all that it saw
 * @throws MidctlError `conflict` where the log does not go on from there: it is another database's, truncated or rewritten
 */
export async function readHead(db: Tx, last: Checkpoint | null): Promise<Omit<Checkpoint, "extensions">> {
  const tree = await readTree(db);
  const origin = originOf(tree.databaseId);
  // Of a log that is shorter than it was that is said, which is worse.
  if (tree.size >= (last?.size ?? 0) && !isEdgeOf(tree.size, tree.edge)) {
    throw new MidctlError("conflict", "The log's head does not fit its length; nothing was signed.", {
      hint: "Keep the checkpoints, run `midctl audit verify`, and find out who wrote to the database: its owner, or whoever restored it.",
    });
  }
  if (last === null) return { origin, size: tree.size, root: await readRoot(tree) };
  if (last.origin !== origin) {
    throw new MidctlError(
      "conflict",
      `The last checkpoint is of another log (${last.origin}, and this is ${origin}); nothing was signed.`,
      { hint: "Give --out a file of its own for each database." },
    );
  }
  const { growth, root } = await readGrowth(tree, last);
  if (growth === "shorter") {
    throw broken(
      `The log has ${tree.size} entries, and its last checkpoint saw ${last.size}: it was truncated, or restored from before`,
      tree.size,
      last.size,
    );
  }
  if (growth === "forked") {
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
    hint: "Keep the checkpoints, and find out who wrote to the database: its owner, or whoever restored it. After a restore that was meant, go on in a new file.",
    details: { size, seen },
  });
}
