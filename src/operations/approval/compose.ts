import { randomBytes } from "node:crypto";
import type { Tx } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import { addSeconds } from "../../domain/instant.ts";
import { LONGEST_EXECUTION } from "../../domain/plan.ts";
import { createPublicId } from "../../domain/token.ts";
import { readMoment } from "../../repository/moment.ts";
import { sayHead } from "../log-head.ts";
import { requireEnvironment } from "../lookup.ts";
import type { Plan } from "./plan.ts";

/** What somebody asks for; the rest of a plan is the database's to say, and chance. */
export interface Asked extends Pick<Plan, "requester" | "reason" | "breakGlass" | "lines"> {
  /** Seconds, at most a day. */
  readonly approveWithin: number;
  readonly executeWithin: number;
}

/** A plan of this database, as of now by its clock. */
export async function composePlan(tx: Tx, asked: Asked): Promise<Plan> {
  const [environment, moment] = await Promise.all([requireEnvironment(tx), readMoment(tx)]);
  const { now } = moment;
  const [first] = asked.lines;
  if (first === undefined) throw new MidctlError("internal", "A plan has lines; nothing was requested.");
  const within = Math.min(asked.executeWithin, LONGEST_EXECUTION);
  return {
    v: 1,
    id: `ap_${createPublicId(randomBytes)}`,
    action: first.do,
    environment: {
      name: environment.name,
      live: environment.kind === "live",
      databaseId: environment.databaseId,
    },
    requester: asked.requester,
    reason: asked.reason,
    nonce: randomBytes(16).toString("hex"),
    requestedAt: now,
    approveBy: addSeconds(now, Math.min(asked.approveWithin, within)),
    executeBy: addSeconds(now, within),
    log: await sayHead(moment),
    breakGlass: asked.breakGlass,
    lines: asked.lines,
  };
}
