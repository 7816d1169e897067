import type { Database, Tx } from "../../db/database.ts";
import { CommitUnknown } from "../../db/failure.ts";
import { MidctlError } from "../../domain/errors.ts";
import { LONGEST_EXECUTION, TYPED_DIGITS } from "../../domain/plan.ts";
import type { TrustRoot } from "../../domain/trust.ts";
import { type Approval, insertRequest, insertVote } from "../../repository/approval.ts";
import { change, type Request } from "../change.ts";
import { composePlan } from "./compose.ts";
import type { Draft } from "./draft.ts";
import { type Plan, writePlan } from "./plan.ts";

/** Time for the approval where nothing is said: 8 hours. */
export const DEFAULT_APPROVAL = 8 * 3600;
export const DEFAULT_EXECUTION = LONGEST_EXECUTION;

/** Who asks, and how long there is for an answer. */
export interface Asking {
  readonly trust: TrustRoot;
  /** The principal of the key that signs; or, where the policy lets requests go unsigned, a claim. */
  readonly requester: string;
  /** SSHSIG over the plan, in the namespace of requests; null where it goes unsigned. */
  readonly sign: ((plan: string) => Promise<Signed>) | null;
  /** Seconds, at most a day. */
  readonly approveWithin: number;
  readonly executeWithin: number;
  /** Keeps the plan for people before the request is written; its failure leaves no request. Returns what takes it back. */
  readonly keep?: (requested: WrittenPlan) => () => void;
}

export interface Signed {
  readonly signature: string;
  readonly fingerprint: string;
}

export interface WrittenPlan {
  readonly id: string;
  readonly text: string;
  readonly digest: string;
}

/** A plan, and the requester's signature under it. Nobody is waited for inside a transaction: it is made before. */
export interface SignedRequest extends WrittenPlan {
  readonly plan: Plan;
  readonly signed: Signed | null;
}

/** Makes and signs a plan. Nothing is kept. */
export async function makePlan(
  db: Database,
  asking: Asking,
  said: Pick<Plan, "reason" | "lines"> & Partial<Pick<Plan, "breakGlass">>,
): Promise<SignedRequest> {
  const plan = await composePlan(db, { breakGlass: null, ...asking, ...said });
  const written = writePlan(plan);
  return { id: plan.id, ...written, plan, signed: (await asking.sign?.(written.text)) ?? null };
}

/**
 * Asks for what was drafted: one plan, one request, signed. Nothing of what it says is done.
 * @param options.beside what else the transaction of the request writes
 */
export async function requestApproval(
  db: Database,
  request: Request,
  asking: Asking,
  drafts: readonly Draft[],
  {
    breakGlass = null,
    beside,
  }: {
    readonly breakGlass?: Plan["breakGlass"];
    readonly beside?: (tx: Tx, id: string) => Promise<void>;
  } = {},
): Promise<SignedRequest> {
  const lines = drafts.map(({ line }) => line);
  const made = await makePlan(db, asking, { reason: request.reason, lines, breakGlass });
  const { id, plan, text, digest, signed } = made;
  const takeBack = asking.keep?.(made);
  try {
    await change(db, { ...request, approval: id }, async (tx) => {
      await insertRequest(tx, {
        plan: text,
        digest,
        hashes: drafts.map(({ hash }) => hash),
        quorum: asking.trust.policy.quorum,
      });
      if (signed !== null) {
        await insertVote(tx, id, {
          kind: "request",
          principal: plan.requester,
          keyFingerprint: signed.fingerprint,
          signature: signed.signature,
        });
      }
      await beside?.(tx, id);
    });
  } catch (error) {
    if (!(error instanceof CommitUnknown)) takeBack?.();
    throw error;
  }
  return made;
}

/** How a request came about, for whoever is told of it. */
interface Told {
  readonly made: boolean;
  readonly planFile: string | null;
  /** What carries it out, where that is not `approval apply`: a campaign, and the words that go on with it. */
  readonly campaign?: { readonly id: string; readonly again: string };
}

/** What a gated command ends with: nothing was done, and this is how it goes on. */
export function approvalRequired(
  approval: Pick<Approval, "id" | "digest" | "status">,
  environment: { readonly name: string },
  { made, planFile, campaign }: Told,
): MidctlError {
  const { id, digest, status } = approval;
  const typed = digest.slice(0, TYPED_DIGITS);
  const next =
    campaign === undefined
      ? `midctl approval apply ${id}`
      : `midctl runbook resume ${campaign.id} ${campaign.again}`;
  const [message, hint] =
    status === "approved"
      ? [`${id} is approved and waits to be carried out; nothing was done by this command.`, next]
      : [
          made
            ? `An approval is needed in ${environment.name}: ${id} (sha256:${digest}) was requested${campaign === undefined ? "" : ` for ${campaign.id}`}, and nothing was changed.`
            : `The approval ${id} (sha256:${digest}) is open, and was requested before; nothing was changed.`,
          `An owner runs: midctl approval approve ${id} --key KEY, and types ${typed}. Then: ${next}`,
        ];
  return new MidctlError("approval_required", message, {
    hint,
    details: {
      ...{ approval: id, digest, status, approve: typed, planFile },
      ...(campaign === undefined ? {} : { campaign: campaign.id }),
    },
  });
}
