/** Pausing and revoking at once in a protected environment: signed, on record, and owing a countersignature (SPEC §9). */
import type { Database, Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { takeLine } from "../operations/approval/apply.ts";
import { draftControls } from "../operations/approval/draft.ts";
import { rehearseLine } from "../operations/approval/rehearse.ts";
import { requestApproval } from "../operations/approval/request.ts";
import type { Request } from "../operations/change.ts";
import type { ControlStatus, Target } from "../operations/control.ts";
import { requireEnvironment } from "../operations/lookup.ts";
import { askingOf } from "./ask.ts";
import type { VerbContext } from "./context.ts";
import type { GateWords } from "./gate.ts";
import { requestFrom } from "./request.ts";

/**
 * Writes the signed statement, and returns by which request each target is then changed.
 * @throws MidctlError `usage` without reason or ticket, or where nothing is protected; `denied` for whoever may not
 */
export async function openGlass(
  context: VerbContext,
  db: Database,
  words: GateWords,
  ticket: string | undefined,
  targets: readonly Target[],
  status: ControlStatus,
): Promise<(target: Target) => Partial<Request>> {
  const missing = ticket === undefined ? "--ticket" : context.reason === null ? "--reason" : null;
  if (missing !== null || ticket === undefined) {
    throw new MidctlError(
      "usage",
      `--break-glass is put on record, and wants ${missing}; nothing was changed`,
    );
  }
  if (!(await requireEnvironment(db)).protected) {
    throw new MidctlError(
      "usage",
      "nothing here is protected: --break-glass is not needed; nothing was changed",
      {
        hint: "leave it out",
      },
    );
  }
  if (words.key === undefined) {
    throw new MidctlError("usage", "--break-glass is signed, and wants --key; nothing was changed");
  }
  const asking = await askingOf(context, words, "--break-glass");
  if (!asking.trust.policy.breakGlass.includes(asking.requester)) {
    throw new MidctlError(
      "denied",
      `--break-glass is not for ${asking.requester}, whom the policy's breakGlass does not name; nothing was changed`,
      { hint: "without --break-glass the command requests an approval" },
    );
  }
  const request = requestFrom(context);
  const drafts = await draftControls(db, targets, status);
  for (const draft of drafts) await rehearseLine(db, request, draft);
  if (context.dryRun || drafts.length === 0) return () => ({});
  const { id } = await requestApproval(db, request, { ...asking, keep: () => () => {} }, drafts, {
    breakGlass: { ticket },
  });
  context.notice(
    `${id} stays open until another owner countersigns: midctl approval approve ${id} --key KEY`,
  );
  const open = targets.filter((target) => target.status !== status);
  const places = new Map(open.map((target, index) => [target, index]));
  return (target) => {
    const at = places.get(target) ?? -1;
    const line = drafts[at]?.line;
    if (line === undefined) return {};
    return { approval: id, envelope: { open: (tx: Tx) => takeLine(tx, id, at + 1, line) } };
  };
}
