import type { Tx } from "../../db/database.ts";
import { originOf } from "../../domain/checkpoint.ts";
import { MidctlError } from "../../domain/errors.ts";
import type { KeptHead } from "../../domain/kept-head.ts";
import { readTree } from "../../repository/tree.ts";
import { readGrowth, readRoot } from "../log-head.ts";
import type { Plan } from "./plan.ts";

const WHICH =
  "The database was restored from before, or somebody rewrote it: find out which. midctl audit verify --checkpoint FILE says what was done.";
const MEND = {
  plan: `${WHICH} Then have it requested anew.`,
  seen: `${WHICH} Once that is settled, midctl audit reconcile --accept --head-file FILE accepts the log as it is, FILE being this database's in $XDG_STATE_HOME/midctl/heads.`,
} as const;

/**
 * Whether the log goes on from the head that a plan was made on, and from the last one that whoever approves it saw.
 * @param seen null for who never approved here
 * @returns the head to be kept as seen
 * @throws MidctlError `conflict` where it does not
 */
export async function requireSameLog(db: Tx, plan: Plan, seen: KeptHead | null): Promise<KeptHead> {
  const tree = await readTree(db);
  const origin = originOf(tree.databaseId);
  const { size, root } = plan.log;
  if (
    root !== undefined &&
    (await readGrowth(tree, { size, root: Buffer.from(root, "hex") })).growth !== "goes_on"
  ) {
    throw broken(
      `The log has ${tree.size} entries and does not go on from the ${size} that ${plan.id} was made on`,
      { size: tree.size, seen: size },
      MEND.plan,
    );
  }
  if (seen !== null && (await readGrowth(tree, seen)).growth !== "goes_on") {
    throw broken(
      `The log has ${tree.size} entries and does not go on from the ${seen.size} that you saw when you last approved`,
      { size: tree.size, seen: seen.size },
      MEND.seen,
    );
  }
  return { origin, size: tree.size, root: await readRoot(tree), accepted: seen?.accepted ?? 0 };
}

/**
 * The same of a plan that came as a file, without its database: as far as two heads of one size can tell.
 * @throws MidctlError `conflict`
 */
export function requireSameHead({ log, id }: Plan, seen: KeptHead | null): void {
  if (seen === null || log.root === undefined || log.size !== seen.size) return;
  if (seen.root.equals(Buffer.from(log.root, "hex"))) return;
  throw broken(
    `${id} was made on another log of ${log.size} entries than the one that you saw when you last approved`,
    { seen: seen.size },
    MEND.plan,
  );
}

function broken(what: string, details: Readonly<Record<string, number>>, hint: string): MidctlError {
  return new MidctlError("conflict", `${what}; nothing was signed.`, { hint, details });
}
