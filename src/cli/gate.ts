/** What gated commands share: where the environment is protected, they ask instead of doing (SPEC §9). */
import type { Database } from "../db/database.ts";
import { parseDuration } from "../domain/duration.ts";
import { MidctlError } from "../domain/errors.ts";
import { LONGEST_EXECUTION } from "../domain/plan.ts";
import type { Draft } from "../operations/approval/draft.ts";
import type { Request } from "../operations/change.ts";
import type { VerbContext } from "./context.ts";
import { readWith } from "./parse.ts";
import { requestFrom } from "./request.ts";

const clock = readWith((text) => parseDuration(text, { atLeast: 60, atMost: LONGEST_EXECUTION }));

/** Of every command that asks for an approval where the environment is protected. */
export const gateOptions = {
  key: {
    value: "FILE",
    summary:
      "where protected: the SSH key that signs the request; a public key's file, or agent, for ssh-agent",
  },
  plan: {
    value: "FILE",
    summary: "where protected: write the plan into this new file; default: ap_….plan.json",
  },
  approveWithin: {
    value: "8h",
    summary: "where protected: time for the approval; default: 8h",
    schema: clock,
  },
  executeWithin: {
    value: "24h",
    summary: "where protected: time to carry it out, at most 24h; default: 24h",
    schema: clock,
  },
} as const;

export interface GateWords {
  readonly key: string | undefined;
  readonly plan: string | undefined;
  readonly approveWithin: number | undefined;
  readonly executeWithin: number | undefined;
}

export interface Gated<T> {
  readonly action: string;
  /** The lines of the plan, drafted from what is there. */
  draft(db: Database): Promise<readonly Draft[]>;
  /** Does it, where nothing stands in the way; and, rolled back, tries it. */
  run(request: Request): Promise<T>;
  /** What the token is kept as that a request in force may name already, hex. */
  readonly hash?: string;
}

/**
 * Runs a command that a protected environment gates. The database decides: where its guards ask for an approval, a request
 * is made, and the command ends with exit 6. What changes nothing needs none.
 */
export async function gated<T>(
  context: VerbContext,
  db: Database,
  words: GateWords,
  command: Gated<T>,
): Promise<T> {
  const request = requestFrom(context);
  try {
    return await command.run(request);
  } catch (error) {
    if (!(error instanceof MidctlError) || error.code !== "approval_required") throw error;
  }
  // Loaded only where it is needed: most environments are not protected.
  const { askInstead } = await import("./ask.ts");
  return askInstead(context, db, words, command);
}
