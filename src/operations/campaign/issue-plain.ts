import type { Tx } from "../../db/database.ts";
import {
  insertCredentials,
  type NameHolder,
  readIssued,
  readTakenNames,
} from "../../repository/credential.ts";
import { lockIdentities, settleIdentities } from "../../repository/identity.ts";
import type { Request } from "../change.ts";
import { hasEnded, wrongKind } from "../issuance.ts";
import type { Ready, Running } from "./delivery.ts";
import type { CampaignTerms } from "./terms.ts";

/**
 * Locks all of these identities, and rotates the plain ones among them in one statement: the credential that is to be replaced is
 * current, nothing else stands under the name, and the secret is new. It refuses nobody, and the guards check what it writes.
 * @returns the others, of which nothing was written
 * @throws MidctlError `conflict` for secrets of the other kind of environment
 */
export async function rotatePlain(
  tx: Tx,
  request: Request,
  { terms, environment }: Running,
  ready: readonly Ready[],
): Promise<readonly Ready[]> {
  const slugs = ready.map(({ target }) => target.slug);
  // All at once, in the order in which verifiers note uses: each waiting for the other, agents would wait too.
  const locked = lockIdentities(tx, slugs);
  if (terms.compromised || (terms.expiresIn === "never" && environment.protected)) {
    await locked;
    return ready;
  }
  const [identities, , known, taken] = await Promise.all([
    locked,
    settleIdentities(tx, slugs),
    readIssued(
      tx,
      ready.map(({ prepared }) => prepared.commitment),
    ),
    readTakenNames(tx, slugs),
  ]);
  const alive = new Set(identities.filter((identity) => !hasEnded(identity)).map(({ slug }) => slug));
  const used = new Set(known.map(({ given }) => given));
  const holders = new Map<string, NameHolder | "several">();
  for (const held of taken.filter(({ name }) => name === terms.name))
    holders.set(held.identity, holders.has(held.identity) ? "several" : held);
  const plain: Ready[] = [];
  const rest: Ready[] = [];
  const rows: string[] = [];
  for (const one of ready) {
    const { slug, replaces } = one.target;
    const held = holders.get(slug);
    const free = alive.has(slug) && !used.has(one.prepared.commitment.publicId) && !isLost(one);
    if (free && held !== undefined && held !== "several" && held.id === replaces) {
      plain.push(one);
      rows.push(rowOf(one, terms, held));
    } else rest.push(one);
  }
  const [first] = plain;
  if (first === undefined) return rest;
  const made = await insertCredentials(tx, rows, request.actor.name);
  if (made !== plain.length) throw wrongKind(first.prepared.commitment, "issued");
  return rest;
}

/** Whether the secret that this campaign issued for a target is gone, and another one was made in its place. */
export function isLost({ target: { successor }, prepared: { commitment } }: Ready): boolean {
  return successor !== null && successor !== `mc_${commitment.publicId}`;
}

/** As `insertCredentials` takes it. */
function rowOf(
  { target, prepared: { commitment } }: Ready,
  { name, scopes, expiresIn, activateWithin, grace }: CampaignTerms,
  held: NameHolder,
): string {
  return JSON.stringify({
    publicId: commitment.publicId,
    tokenHash: commitment.hash,
    environment: commitment.environment,
    identity: target.slug,
    name,
    scopes: JSON.stringify(scopes ?? held.scopes),
    expiresIn: expiresIn === "never" ? null : expiresIn,
    activateWithin,
    replaces: held.id.slice(3),
    grace,
  });
}
