import { formatDuration } from "../../domain/duration.ts";
import type { SweepDocument } from "../verbs/sweep.ts";
import type { Block, View } from "../view.ts";

export function viewSweep(document: SweepDocument): View {
  const { abandoned, paused, revoked, heldBack, sealed, expired, expiredWithin, checkpoint } = document;
  const within = `within ${formatDuration(expiredWithin)}`;
  const blocks: Block[] = [
    {
      kind: "table",
      columns: [{ title: "WHAT" }, { title: "COUNT", align: "right" }],
      rows: [
        ["credentials abandoned", abandoned],
        ["identities paused", paused],
        ["identities revoked", revoked],
        ["agent events sealed", sealed],
        [`identities expired ${within}`, expired.identities],
        [`credentials expired ${within}`, expired.credentials],
        [`requests expired ${within}`, expired.approvals],
      ],
    },
  ];
  if (heldBack > 0) {
    blocks.push({
      kind: "notice",
      text: `${heldBack} ${heldBack === 1 ? "identity was" : "identities were"} due for revocation and left paused: the environment is protected, and that needs an approval. midctl list --status paused names them; midctl revoke REF requests it.`,
    });
  }
  if (checkpoint !== null && checkpoint.size !== null) {
    blocks.push({
      kind: "notice",
      text: checkpoint.appended
        ? `Appended the log's head, of ${checkpoint.size} entries, to ${checkpoint.file}.`
        : `${checkpoint.file} ends with the log's head already.`,
    });
  }
  return blocks;
}
