import { MidctlError } from "../../domain/errors.ts";
import { revokeTarget } from "../../operations/revoke.ts";
import { readLeaked } from "../../operations/revoke-leaked.ts";
import { controlAll, controlledOutput, controlTargets, glassOptions } from "../controlled-document.ts";
import { gateOptions } from "../gate.ts";
import { readToken } from "../token-input.ts";
import { defineVerb } from "../verb.ts";
import { viewRevoke } from "../views/revoke.ts";

export const revoke = defineVerb({
  path: ["revoke"],
  summary: "Revoke identities, credentials or tokens, for good",
  description:
    "Revoking an identity revokes each live credential of it, and its descendants are refused. It is confirmed by typing the name, or by --yes off a terminal. Returns when every verifier has let go: no request that starts later is accepted.",
  examples: [
    { command: "midctl revoke mc_4fK2mQ9sT1xZ --reason 'laptop stolen'", does: "one credential" },
    { command: "midctl revoke --token-stdin --yes < leaked", does: "whatever a leaked token belongs to" },
  ],
  args: [
    { name: "ref", summary: "a slug, mc_… or at_…", variadic: true, optional: true, complete: "identity" },
  ],
  options: {
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
  async run({ ref, tokenStdin, noWait, ...gate }, context) {
    const verb = { name: "revoke" as const, confirm: true, noWait: noWait === true, gate };
    if (tokenStdin) {
      if (ref.length > 0) throw new MidctlError("usage", "--token-stdin takes no REF; nothing was revoked");
      const token = await readToken(context);
      const db = await context.database();
      return controlTargets(db, [await readLeaked(db, token)], context, verb, revokeTarget);
    }
    const refs = ref.length > 0 ? ref : [await context.ask({ name: "REF", summary: "a slug, mc_… or at_…" })];
    return controlAll(refs, context, verb, revokeTarget);
  },
  view: viewRevoke,
});
