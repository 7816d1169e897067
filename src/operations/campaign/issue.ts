import type { Database, Tx } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import { setCampaignTargets } from "../../repository/campaign.ts";
import { findCredential } from "../../repository/credential.ts";
import { change, type Request } from "../change.ts";
import { rotateUnread } from "../credential-rotate.ts";
import type { Issuer, Outcome, Ready, Running } from "./delivery.ts";
import { isLost, rotatePlain } from "./issue-plain.ts";
import { rotationOf } from "./terms.ts";

/** Issues where nothing has to be approved: all in one transaction; where something stands in the way of one, half by half. */
export function issueFreely(db: Database, request: Request, running: Running): Issuer {
  const issue: Issuer["issue"] = async (ready, failed) => {
    if (ready.length === 0) return [];
    try {
      await issueTogether(db, request, running, ready);
      return ready;
    } catch (error) {
      const one = ready[0];
      if (!isRefusal(error) || one === undefined) throw error;
      if (ready.length === 1) {
        one.prepared.discard();
        failed.push(failure(one, error));
        return [];
      }
    }
    const half = Math.ceil(ready.length / 2);
    const first = await issue(ready.slice(0, half), failed);
    return [...first, ...(await issue(ready.slice(half), failed))];
  };
  return { closed: null, issue };
}

export function failure({ target }: Ready, { message }: MidctlError): Outcome {
  return { target, state: "failed", problem: message };
}

function issueTogether(
  db: Database,
  request: Request,
  running: Running,
  ready: readonly Ready[],
): Promise<void> {
  return change(db, request, async (tx) => {
    // Not all are plain: those go by the rules of any rotation, which say what stands in the way.
    const rest = await rotatePlain(tx, request, running, ready);
    await together(rest, (one) => rotateByRules(tx, request, running, one));
    await setCampaignTargets(
      tx,
      running.id,
      ready.map(({ target, prepared }) => ({
        position: target.position,
        state: "issued",
        successor: `mc_${prepared.commitment.publicId}`,
        problem: null,
      })),
    );
  });
}

async function rotateByRules(
  tx: Tx,
  request: Request,
  { terms, environment }: Running,
  { target, prepared }: Ready,
): Promise<void> {
  // A secret that was lost is made anew, in the place of the one that this campaign issued; of no other.
  const { successor, replaces, replacesPending } = target;
  const lost = isLost({ target, prepared });
  const gives = lost ? successor : replacesPending;
  const pending = gives === null ? null : await findCredential(tx, gives.slice(3));
  // After a leak the one that was lost has ended all before it, and is ended in turn.
  const expected =
    terms.compromised && lost && pending?.status === "pending" ? (successor ?? replaces) : replaces;
  await rotateUnread(
    tx,
    request,
    rotationOf(terms, {
      ...{ slug: target.slug, expected, secret: prepared.commitment },
      replacePending: pending?.status === "pending",
    }),
    { environment, holders: { current: null, pending } },
  );
}

/**
 * Works on all at once, so that their statements follow one another without waiting for answers. It returns when all have come to
 * an end, also where one failed: none of them may ask anything of a transaction that is over.
 * @throws what failed first; the others may have failed of it
 */
async function together<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const failures: unknown[] = [];
  await Promise.all(items.map((item) => work(item).catch((error: unknown) => failures.push(error))));
  if (failures.length > 0) throw failures[0];
}

/** What is a target's own trouble, as against what stops the run: a database that is lost, or that nobody knows the end of. */
export function isRefusal(error: unknown): error is MidctlError {
  return error instanceof MidctlError && error.code !== "unavailable" && error.code !== "internal";
}
