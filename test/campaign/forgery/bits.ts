import type { Tx } from "../../../src/db/database.ts";
import { commitToHash, digestOf } from "../../../src/domain/plan.ts";
import { hashToken } from "../../../src/domain/token.ts";
import { loadTrust } from "../../../src/operations/approval/trust-dir.ts";
import { decide } from "../../../src/operations/decide.ts";
import { Receipts } from "../../../src/operations/verifier/receipts.ts";
import { armor, dearmor } from "../../support/ssh.ts";
import type { PlantedVote } from "../../support/trust.ts";
import type { Court } from "./court.ts";
import { readPlanted } from "./rows.ts";

/** Flips every bit of a plan, of a signature's bytes and of its armour, each for itself; returns a line that counts them. */
export async function flipBits(court: Court, violations: string[]): Promise<string> {
  const [victim] = await court.issue(1);
  if (victim === undefined) throw new Error("nothing was issued");
  const { text } = victim.written;
  const votes = await readPlanted(court.db, victim.written.digest);
  const approval = votes.findIndex(({ kind }) => kind === "approval");
  const armoured = votes[approval]?.signature ?? "";
  await court.unchecked.authenticate(victim.token);
  const looked = await decide(court.db, victim.token, null);
  const root = loadTrust(court.dir);
  const hash = hashToken(victim.token);
  const accepts = async (plan: string, told: readonly PlantedVote[]): Promise<boolean> => {
    const receipts = new Receipts(teller(commitToHash(hash), plan, told), { patience: 5000 });
    return (await receipts.judge(root, hash, looked, null)).decision.ok;
  };
  const signed = (signature: string): PlantedVote[] =>
    votes.map((vote, at) => (at === approval ? { ...vote, signature } : vote));

  if (!(await accepts(text, votes))) violations.push("bits: the plan as it was signed is refused");
  const flipped = { plan: 0, signature: 0, armour: 0 };
  for (const bytes of flips(Buffer.from(text))) {
    flipped.plan++;
    if (await accepts(bytes.toString("utf8"), votes)) {
      violations.push(`bits: a plan with bit ${flipped.plan - 1} flipped`);
    }
  }
  for (const bytes of flips(dearmor(armoured))) {
    flipped.signature++;
    if (await accepts(text, signed(armor(bytes)))) {
      violations.push(`bits: a signature with bit ${flipped.signature - 1} flipped`);
    }
  }
  for (const bytes of flips(Buffer.from(armoured))) {
    flipped.armour++;
    if (await accepts(text, signed(bytes.toString("utf8")))) {
      violations.push(`bits: an armour with bit ${flipped.armour - 1} flipped`);
    }
  }
  const { plan, signature, armour } = flipped;
  const found = violations.filter((each) => each.startsWith("bits:")).length;
  return `bits flipped: ${plan} of a plan, ${signature} of a signature, ${armour} of its armour; ${found} accepted`;
}

function* flips(bytes: Buffer): Generator<Buffer> {
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const other = Buffer.from(bytes);
    other[bit >> 3] = (other[bit >> 3] as number) ^ (1 << (bit & 7));
    yield other;
  }
}

/** A database that says what it is told to say of a plan: its digest is made to fit. */
function teller(secret: string, plan: string, votes: readonly PlantedVote[]): Tx {
  const digest = digestOf(plan);
  return {
    query: (async (statement: string) =>
      statement.includes("FROM midctl_plan")
        ? [{ digest, plan, votes }]
        : [{ secret, digest }]) as Tx["query"],
  } as Tx;
}
