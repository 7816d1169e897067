import type { TokenSunsetDocument } from "../verbs/token-sunset.ts";
import { type Block, time, type View } from "../view.ts";

export function viewTokenSunset({ endsAt, ended, sooner, refused }: TokenSunsetDocument): View {
  const blocks: Block[] = [
    {
      kind: "fields",
      fields: [
        ["ends", time(endsAt)],
        ["ended", ended],
        ["end sooner", sooner],
      ],
    },
    {
      kind: "notice",
      text:
        ended === 0
          ? "No legacy token in force ends later than that: nothing was changed."
          : `${ended} legacy token${ended === 1 ? "" : "s"} will end then, unless adopted before: midctl identity adopt --all --plan FILE`,
    },
  ];
  if (refused > 0) {
    blocks.push({
      kind: "notice",
      text: `${refused} token${refused === 1 ? " has" : "s have"} a machine identity and no credential, and ${refused === 1 ? "was" : "were"} left alone: midctl list tokens --status refused`,
    });
  }
  return blocks;
}
