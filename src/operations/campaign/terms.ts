import * as z from "zod/mini";

const count = z.int().check(z.nonnegative());

/** What a campaign is: what each successor is to be, how it is delivered, and when to stop. Kept with it, so that it can go on. */
export const campaignTerms = z.strictObject({
  /** Of the credentials. */
  name: z.string(),
  /** null: the predecessor's. */
  scopes: z.nullable(z.array(z.string())),
  /** Seconds. */
  expiresIn: z.union([count, z.literal("never")]),
  activateWithin: count,
  grace: count,
  /** Which command is not kept: what the database says is never run. */
  delivery: z.enum(["files", "command"]),
  /** So many between two health checks. */
  batch: z.int().check(z.positive()),
  /** Seconds between two batches. */
  pause: count,
  /** Whether something is asked between two batches. */
  checked: z.boolean(),
  /** It stops when more than so many have failed. */
  maxFailures: count,
  reason: z.nullable(z.string()),
});
export type CampaignTerms = z.infer<typeof campaignTerms>;

export function writeTerms(terms: CampaignTerms): string {
  return JSON.stringify(campaignTerms.parse(terms));
}

/** Null for what another version wrote. */
export function readTerms(text: string): CampaignTerms | null {
  try {
    return campaignTerms.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
