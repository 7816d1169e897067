import type { Tx } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import { readIssued } from "../../repository/credential.ts";
import type { Destined, Prepared } from "./delivery.ts";

/** A target, and the secret that is to take its place. */
interface Placed {
  readonly target: Destined;
  readonly prepared: Prepared;
}

/**
 * Takes apart those whose file holds what may go: an older secret of the same identity, or nothing. A secret of somebody else, or one
 * that waits to be issued, would be lost.
 */
export async function refuseStrangers<T extends Placed>(
  db: Tx,
  placed: readonly T[],
): Promise<{ readonly free: readonly T[]; readonly taken: readonly (readonly [T, MidctlError])[] }> {
  const secrets = placed.flatMap(({ prepared: { standing } }) => (standing === null ? [] : [standing]));
  if (secrets.length === 0) return { free: placed, taken: [] };
  const owners = new Map(
    (await readIssued(db, secrets)).map(({ given, identity }) => [given, identity] as const),
  );
  const free: T[] = [];
  const taken: (readonly [T, MidctlError])[] = [];
  for (const one of placed) {
    const { standing } = one.prepared;
    const owner = standing === null ? one.target.slug : owners.get(standing.publicId);
    if (owner === one.target.slug) free.push(one);
    else taken.push([one, stranger(one.target, owner ?? null)]);
  }
  return { free, taken };
}

function stranger({ slug, place }: Destined, owner: string | null): MidctlError {
  const whose = owner === null ? "that nothing here was issued with" : `of ${owner}`;
  return new MidctlError(
    "conflict",
    `The file of ${slug}, ${place}, holds a secret ${whose}, and is not replaced; nothing was issued.`,
    { hint: "Move it away, or give another --token-file-dir." },
  );
}
