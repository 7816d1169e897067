import type { Commitment } from "../../domain/token.ts";
import type { CampaignTarget, TargetState } from "../../repository/campaign.ts";
import type { Environment } from "../../repository/environment.ts";
import type { CampaignTerms } from "./terms.ts";

/** How secrets are made and get to where they are used. */
export interface Delivery {
  /**
   * The secret of a target: made now, or found where an interrupted run left it. Where it `lasts`, it is on disk once `settle` is
   * over. Many are prepared at once, so that they wait for the disk together.
   * @throws MidctlError where it could not be delivered; nothing is issued then
   */
  prepare(target: Destined, campaign: string, environment: Environment): Promise<Prepared>;
  /**
   * Returns when all that was prepared and delivered so far is on disk: called before rows are committed, and before the journal
   * says that they were delivered.
   * @throws MidctlError where the disk refuses
   */
  settle(): Promise<void>;
}

/** So many are prepared at once, and issued in one transaction, at most. */
export const TOGETHER = 50;

/** Of a target, what its delivery goes by. */
export type Destined = Pick<CampaignTarget, "slug" | "place" | "successor">;

export interface Prepared {
  readonly commitment: Commitment;
  /** Whether it can be found again after a crash. */
  readonly lasts: boolean;
  /** The secret in whose place it goes; null where nothing stands there. */
  readonly standing: Pick<Commitment, "publicId" | "hash"> | null;
  /** Once the row is committed. @throws MidctlError where the secret did not get there */
  deliver(): Promise<void>;
  /** Once the journal says that it was delivered: what was kept of it until then goes. */
  forget(): void;
  /** Takes back what was made, where it is certain that nothing was issued against it. */
  discard(): void;
}

/** A target whose secret is there. */
export interface Ready {
  readonly target: CampaignTarget;
  readonly prepared: Prepared;
}

/** What became of a target in this run. */
export interface Outcome {
  readonly target: CampaignTarget;
  readonly state: Extract<TargetState, "delivered" | "failed" | "issued">;
  readonly problem: string | null;
}

/** A campaign that runs. */
export interface Running {
  readonly id: string;
  readonly terms: CampaignTerms;
  readonly environment: Environment;
}

/** Writes the rows of secrets that are there. */
export interface Issuer {
  /** Why nothing more is issued, and only what was issued is delivered; null where all is. */
  readonly closed: string | null;
  /** Those that were issued, now or before; what stood in the way of the others is added to `failed`. */
  issue(ready: readonly Ready[], failed: Outcome[]): Promise<readonly Ready[]>;
}
