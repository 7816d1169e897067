import * as z from "zod/mini";
import type { Commitment } from "../../domain/token.ts";
import type { Rotation } from "../credential-rotate.ts";

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
  /** Whether what lives under the name ends at once, and not by the successor's first use. */
  compromised: z._default(z.boolean(), false),
  /** Which command is not kept: what the database says is never run. `staged`: to a command, and in a file until it took it. */
  delivery: z.enum(["files", "command", "staged"]),
  /** So many between two health checks. */
  batch: z.int().check(z.positive()),
  /** Seconds between two batches. */
  pause: count,
  /** Whether something is asked between two batches. */
  checked: z.boolean(),
  /** It stops when more than so many have failed. */
  maxFailures: count,
  reason: z.nullable(z.string()),
  /** The runbook that it follows; null where it was said in flags. */
  runbook: z._default(
    z.nullable(z.strictObject({ name: z.string(), sha256: z.string().check(z.regex(/^[0-9a-f]{64}$/)) })),
    null,
  ),
});
export type CampaignTerms = z.infer<typeof campaignTerms>;

/**
 * What a campaign asks for one of its targets.
 * @param target.expected `mc_…` that is to be replaced
 */
export function rotationOf(
  { name, scopes, expiresIn, activateWithin, grace, compromised }: CampaignTerms,
  target: {
    readonly slug: string;
    readonly expected: string;
    readonly secret: Commitment;
    readonly replacePending: boolean;
  },
): Rotation {
  const { slug: identity, expected, secret, replacePending } = target;
  return {
    ...{ identity, name, scopes, expiresIn, activateWithin, grace, compromised, secret, replacePending },
    expectCurrent: expected.slice(3),
  };
}

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
