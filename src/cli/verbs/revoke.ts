import { MidctlError } from "../../domain/errors.ts";
import { parseEnd } from "../../domain/instant.ts";
import { revokeTarget } from "../../operations/revoke.ts";
import { readLeaked } from "../../operations/revoke-leaked.ts";
import { selectIssuedBefore } from "../../operations/select-targets.ts";
import {
  controlledOutput,
  controlSelection,
  controlTargets,
  glassOptions,
  readControlSelection,
  targetArgument,
} from "../controlled-document.ts";
import { gateOptions } from "../gate.ts";
import { readWith } from "../parse.ts";
import { saysWho, selectionOptions } from "../selection.ts";
import { readToken } from "../token-input.ts";
import { defineVerb } from "../verb.ts";
import { viewRevoke } from "../views/revoke.ts";

export const revoke = defineVerb({
  path: ["revoke"],
  summary: "Revoke identities, credentials or tokens, for good",
  description:
    "By name, by standard input, or by flags: then all identities that fit and are not revoked. Revoking an identity revokes each live credential of it, and its descendants are refused. With --issued-before the identities stay, and those of their credentials are revoked that were issued before that moment and are pending, current or in grace. It is confirmed by typing the name, or `revoke N` for many, or by --yes off a terminal. Returns when every verifier has let go: no request that starts later is accepted.",
  examples: [
    { command: "midctl revoke mc_4fK2mQ9sT1xZ --reason 'laptop stolen'", does: "one credential" },
    { command: "midctl revoke --owner alice --dry-run", does: "all that would go with who left" },
    {
      command: "midctl revoke --all --issued-before 2026-11-20T08:00:00Z",
      does: "whatever was issued before a leak was closed",
    },
    { command: "midctl revoke --token-stdin --yes < leaked", does: "whatever a leaked token belongs to" },
  ],
  args: [targetArgument],
  options: {
    ...selectionOptions,
    issuedBefore: {
      value: "T",
      summary:
        "not the identities, but their live credentials issued before a date (00:00 UTC), an RFC 3339 time, or so long ago (30d)",
      schema: readWith(parseEnd),
    },
    noWait: {
      summary: "return once it is committed, without waiting until every verifier has let go",
    },
    ...glassOptions,
    ...gateOptions,
    tokenStdin: { summary: "revoke the credential of the token on standard input; looking is not a use" },
  },
  output: controlledOutput,
  list: ["results"],
  changes: true,
  async run({ ref, tokenStdin, noWait, issuedBefore, ...words }, context) {
    const verb = { name: "revoke" as const, confirm: true, noWait, gate: words };
    if (tokenStdin) {
      if (ref.length > 0 || saysWho(words) || issuedBefore !== undefined)
        throw new MidctlError("usage", "--token-stdin takes no REF and no selection; nothing was revoked");
      const token = await readToken(context);
      const db = await context.database();
      return controlTargets(db, [await readLeaked(db, token)], context, verb, revokeTarget);
    }
    if (issuedBefore === undefined) return controlSelection(ref, words, context, verb, revokeTarget);
    const selection = await readControlSelection(ref, words, context);
    const db = await context.database();
    const { targets, before } = await selectIssuedBefore(db, selection, issuedBefore);
    const what = `live credential${targets.length === 1 ? "" : "s"} issued before ${before}`;
    const outcome = await controlTargets(db, targets, context, { ...verb, what }, revokeTarget);
    context.notice(
      targets.length === 0 ? `There are no ${what}; nothing was changed.` : `${targets.length} ${what}.`,
    );
    return outcome;
  },
  view: viewRevoke,
});
