import * as z from "zod/mini";
import { MidctlError } from "../../domain/errors.ts";
import type { KeptHead } from "../../domain/kept-head.ts";
import { TYPED_DIGITS } from "../../domain/plan.ts";
import type { Judgement } from "../../domain/receipt.ts";
import type { TrustRoot } from "../../domain/trust.ts";
import type { Plan } from "../../operations/approval/plan.ts";
import { judgeRequest, readRequest } from "../../operations/approval/read.ts";
import { requireSameHead, requireSameLog } from "../../operations/approval/seen-log.ts";
import { approveRequest } from "../../operations/approval/vote.ts";
import type { ApprovalDocument } from "../approval-documents.ts";
import { approvalOrFile, approvalSchema, isPlanFile } from "../approval-documents.ts";
import type { VerbContext } from "../context.ts";
import { showView } from "../deliver.ts";
import { writeNewFile } from "../new-file.ts";
import { requestFrom } from "../request.ts";
import { keepSeenHead, readSeenHead } from "../seen-head.ts";
import { openKey } from "../signing.ts";
import { requireTrustRoot } from "../trust.ts";
import { defineVerb } from "../verb.ts";
import type { View } from "../view.ts";
import { viewApprovalShow } from "../views/approval-show.ts";
import { viewVoted } from "../views/approval-voted.ts";
import { SHOWN, showFile, showRequest } from "./approval-show.ts";

export const votedOutput = z.object({
  changed: z.boolean(),
  principal: z.string(),
  /** False of a rejection without a key: whose it is, is then a claim. */
  signed: z.boolean(),
  /** rb_…: the campaign that carries it out; null where `approval apply` does. */
  campaign: z.nullable(z.string()),
  approval: approvalSchema,
});
export type VotedDocument = z.infer<typeof votedOutput>;

export const approvalApprove = defineVerb({
  path: ["approval", "approve"],
  summary: "Approve a request, by signing its plan with an SSH key",
  description:
    "Shows every line of the plan and what the first would change now, asks for the first characters of its digest, and signs it with ssh-keygen: by a key file, an agent or a hardware key. Whose approval it is, the key says. Before that it holds the log against the head that the plan was made on, and against the one that you saw when you last approved (kept in $XDG_STATE_HOME/midctl/heads): where the log does not go on from either, it was restored from before or rewritten, and nothing is signed (exit 5). The requester's own does not count. Of break-glass it is the countersignature.",
  examples: [
    {
      command: "midctl approval approve ap_7Zk2mPq90aBc --key ~/.ssh/id_ed25519",
      does: "asks for the digest",
    },
    {
      command: "midctl approval approve ap_7Zk2mPq90aBc --key agent --digest 4be09f21 --yes",
      does: "from a script that has read the plan",
    },
  ],
  args: [approvalOrFile],
  options: {
    key: {
      value: "FILE",
      summary: "your SSH key; a public key's file, or agent, for ssh-agent",
      required: true,
    },
    digest: { value: "HEX", summary: `only if the digest begins so: at least ${TYPED_DIGITS} characters` },
  },
  output: votedOutput,
  changes: true,
  async run({ ref, key: given, digest }, context) {
    const trust = requireTrustRoot(context);
    const subject = isPlanFile(ref)
      ? await openFile(context, trust, ref)
      : await openRequest(context, trust, ref);
    const { approval, plan, text } = subject;
    if (digest !== undefined) requireDigest(approval.digest, digest);
    refuseVain(ref, subject.judgement);
    const seen = await readSeenHead(context, plan.environment.databaseId);
    const head = await subject.compareLog(seen.head);
    const key = await openKey(context, trust, given);
    if (key.principal === plan.requester) {
      throw new MidctlError(
        "denied",
        `${ref} was requested by ${plan.requester}, who cannot approve it too; nothing was signed`,
        { hint: "another owner must; a second key of the same person is the same person" },
      );
    }
    if (context.canAsk()) {
      await showView(await subject.show(), context);
      if (digest === undefined) await askDigest(context, approval);
    } else if (!context.yes) {
      throw new MidctlError("usage", "to approve has to be confirmed; nothing was signed", {
        hint: "read midctl approval show; where nobody can be asked, --yes confirms it, and --digest binds it to what was read",
      });
    }
    if (context.dryRun) return { document: foretell(approval, subject.judgement, key.principal) };
    const { signature } = await key.sign("approval", text);
    const document = await subject.vote(key.principal, signature);
    if (head !== null) await keepSeenHead(context, seen, head);
    return { document };
  },
  view: viewVoted,
});

/** What the vote would come to. */
function foretell(
  approval: ApprovalDocument,
  { approvers, quorum }: Judgement,
  principal: string,
): VotedDocument {
  const changed = !approvers.includes(principal);
  const agreed = new Set([...approvers, principal]).size >= quorum;
  const status = agreed && approval.status === "open" ? "approved" : approval.status;
  return { changed, principal, signed: true, campaign: null, approval: { ...approval, status } };
}

/** What is voted on, and where the vote goes. */
interface Subject {
  readonly approval: ApprovalDocument;
  readonly plan: Plan;
  readonly text: string;
  readonly judgement: Judgement;
  show(): Promise<View>;
  /** Holds the log against the plan's head and the one that was seen last. Returns the head to be remembered; null without a database. */
  compareLog(seen: KeptHead | null): Promise<KeptHead | null>;
  vote(principal: string, signature: string): Promise<VotedDocument>;
}

async function openRequest(context: VerbContext, trust: TrustRoot, id: string): Promise<Subject> {
  const db = await context.database();
  const found = await readRequest(db, id);
  const { approval, plan, text } = found;
  return {
    approval,
    plan,
    text,
    judgement: judgeRequest(trust, found),
    show: async () =>
      viewApprovalShow(await showRequest(context, found, SHOWN), `midctl approval show ${id} --all`),
    compareLog: (seen) => requireSameLog(db, plan, seen),
    vote: async (_principal, signature) => ({
      ...(await approveRequest(db, requestFrom(context), trust, id, signature)),
      signed: true,
    }),
  };
}

async function openFile(context: VerbContext, trust: TrustRoot, path: string): Promise<Subject> {
  const { approvalOfFile, readPlanFile, signaturePath } = await import("../plan-file.ts");
  const file = readPlanFile(path);
  const approval = approvalOfFile(trust, file);
  if (Date.parse(approval.approveBy) <= context.now()) {
    throw new MidctlError(
      "conflict",
      `the plan ${path} was to be approved by ${approval.approveBy}; nothing was signed`,
      {
        hint: "request it anew",
      },
    );
  }
  return {
    approval,
    plan: file.plan,
    text: file.text,
    judgement: judgeRequest(trust, file),
    show: async () => viewApprovalShow(await showFile(trust, file)),
    compareLog: async (seen) => {
      requireSameHead(file.plan, seen);
      return null;
    },
    vote: async (principal, signature) => {
      writeNewFile(signaturePath(path, principal), signature, {
        undone: "nothing was approved by this",
        hint: "this owner has signed already; where that signature no longer counts, take the file away first",
      });
      const signed = approvalOfFile(trust, readPlanFile(path));
      return { changed: true, principal, signed: true, campaign: null, approval: signed };
    },
  };
}

/** No approval would help a plan that the trust root does not take for its own, or whose request nobody signed. */
function refuseVain(ref: string, { short }: Judgement): void {
  if (short === null || short === "quorum") return;
  throw new MidctlError(
    "denied",
    short === "database"
      ? `the policy of this trust root names other databases than that of ${ref}; nothing was signed`
      : `no signature of the requester holds under ${ref}, and the policy wants one; nothing was signed`,
    { hint: "midctl approval show; whoever asks for it requests it anew" },
  );
}

function requireDigest(digest: string, given: string): void {
  if (given.length < TYPED_DIGITS || !/^[0-9a-f]+$/.test(given)) {
    throw new MidctlError("usage", `--digest takes at least ${TYPED_DIGITS} hex digits; nothing was signed`);
  }
  if (digest.startsWith(given)) return;
  throw new MidctlError(
    "conflict",
    "the digest is another one than that: this is not the plan that was read; nothing was signed",
    {
      hint: "midctl approval show",
    },
  );
}

async function askDigest(context: VerbContext, { digest, lines }: ApprovalDocument): Promise<void> {
  const answer = await context.ask({
    name: "DIGEST",
    summary: `to approve ${lines === 1 ? "this line" : `these ${lines} lines`}, type the first ${TYPED_DIGITS} characters of the digest`,
  });
  if (answer.length >= TYPED_DIGITS && digest.startsWith(answer.toLowerCase())) return;
  throw new MidctlError("usage", "that is not how the digest begins; nothing was signed");
}
