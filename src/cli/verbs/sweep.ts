import * as z from "zod/mini";
import { parseDuration } from "../../domain/duration.ts";
import { MidctlError } from "../../domain/errors.ts";
import { SOONEST_REVOCATION, sweep as sweepAll } from "../../operations/sweep.ts";
import { CHECKPOINT_OPTIONS, makeCheckpoint, openCheckpointPlace } from "../checkpointing.ts";
import { readWith } from "../parse.ts";
import { requestFrom } from "../request.ts";
import { defineVerb } from "../verb.ts";
import { viewSweep } from "../views/sweep.ts";

export const sweepOutput = z.object({
  abandoned: z.number(),
  paused: z.number(),
  revoked: z.number(),
  heldBack: z.number(),
  /** Agent events that waited to be sealed in the log. */
  sealed: z.number(),
  expired: z.object({ identities: z.number(), credentials: z.number(), approvals: z.number() }),
  expiredWithin: z.number(),
  /** The checkpoint that was made after it; null where none was asked for. Its size is null where none could be made. */
  checkpoint: z.nullable(z.object({ file: z.string(), size: z.nullable(z.number()), appended: z.boolean() })),
});
export type SweepDocument = z.infer<typeof sweepOutput>;

export const sweep = defineVerb({
  path: ["sweep"],
  summary: "Store what the clock has decided, for a timer or cron",
  description:
    "Abandons pending credentials whose deadline has passed and pauses identities idle past their idle life: they are refused already, and this writes it down, with a log entry for each. Seals the agent events that wait, in batches of up to 10,000 with an entry for each, as a running serve does by itself. Counts what expired within a day, of which nothing is stored. Works in short transactions and passes over what others hold, so that any number of hosts may sweep at once; interrupted, what was done stands. Exit 0, also when nothing was due. Where no checkpoint can be made, what was swept stands and is shown, and the exit is that of the failure: 5 where the log does not go on from the file. In a protected environment revocation needs an approval: those that are due are left paused, counted as heldBack, and a message says so.",
  examples: [
    { command: "midctl sweep --dry-run", does: "how much is due" },
    {
      command:
        "midctl sweep --checkpoint-out /mnt/elsewhere/checkpoints --checkpoint-signer /etc/midctl/log_ed25519",
      does: "and sign the log's head afterwards",
    },
    { command: "midctl sweep --revoke-idle-after 30d", does: "and end what nobody resumed for a month" },
  ],
  options: {
    ...CHECKPOINT_OPTIONS,
    revokeIdleAfter: {
      value: "30d",
      summary: "revoke what has been paused for idleness for so long, at least 1h; default: never",
      schema: readWith((text) => parseDuration(text, { atLeast: SOONEST_REVOCATION })),
    },
  },
  output: sweepOutput,
  changes: true,
  async run({ revokeIdleAfter, ...input }, context) {
    const place = await openCheckpointPlace(context, input);
    const db = await context.database();
    const swept = await sweepAll(db, requestFrom(context), {
      revokeIdleAfter: revokeIdleAfter ?? null,
      onStored: () => context.standBy("what was swept so far stands; the next sweep goes on"),
    });
    if (place === null) return { document: { ...swept, checkpoint: null } };
    const { file } = place;
    try {
      const { size, appended } = await makeCheckpoint(db, place, context);
      return { document: { ...swept, checkpoint: { file, size, appended } } };
    } catch (error) {
      if (!(error instanceof MidctlError)) throw error;
      return {
        document: { ...swept, checkpoint: { file, size: null, appended: false } },
        failed: error,
      };
    }
  },
  view: viewSweep,
});
