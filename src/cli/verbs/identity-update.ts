import * as z from "zod/mini";
import { MidctlError } from "../../domain/errors.ts";
import { parseLabelKey, parseLabels } from "../../domain/labels.ts";
import { updateIdentity } from "../../operations/identity-update.ts";
import { identitySchema } from "../documents.ts";
import { gated, gateOptions } from "../gate.ts";
import { duration, identityOptions, labelText, ownerOption, parseIdentityReference } from "../options.ts";
import { readWith } from "../parse.ts";
import { defineVerb } from "../verb.ts";
import { viewIdentityUpdate } from "../views/identity-update.ts";

export const identityUpdateOutput = z.object({ changed: z.boolean(), identity: identitySchema });
export type IdentityUpdateDocument = z.infer<typeof identityUpdateOutput>;

export const identityUpdate = defineVerb({
  path: ["identity", "update"],
  summary: "Change an identity's display name, owner, labels, or end it sooner",
  examples: [
    { command: "midctl identity update deploy-bot --owner payments", does: "another owner" },
    { command: "midctl identity update deploy-bot --label team=payments --remove-label tmp", does: "labels" },
  ],
  args: [
    {
      name: "ref",
      summary: "the identity's slug",
      schema: readWith(parseIdentityReference),
      complete: "identity",
    },
  ],
  options: {
    displayName: identityOptions.displayName,
    owner: ownerOption,
    label: {
      value: "K=V",
      summary: "set this label; may be given several times",
      repeat: true,
      schema: labelText,
    },
    removeLabel: {
      value: "K",
      summary: "take this label away",
      repeat: true,
      schema: readWith(parseLabelKey),
    },
    expires: { value: "30d", summary: "its end from now on; only sooner than before", schema: duration },
    idleTtl: { value: "24h", summary: "only shorter than before", schema: duration },
    ...gateOptions,
  },
  output: identityUpdateOutput,
  changes: true,
  async run(input, context) {
    const update = {
      displayName: input.displayName ?? null,
      owner: input.owner ?? null,
      setLabels: parseLabels(input.label),
      removeLabels: input.removeLabel,
      expiresIn: input.expires ?? null,
      idleTtl: input.idleTtl ?? null,
    };
    const asked = [update.displayName, update.owner, update.expiresIn, update.idleTtl].some(
      (value) => value !== null,
    );
    if (!asked && input.label.length === 0 && input.removeLabel.length === 0) {
      throw new MidctlError("usage", "nothing to change was given; nothing was changed", {
        hint: "give --display-name, --owner, --label, --remove-label, --expires or --idle-ttl",
      });
    }
    const db = await context.database();
    const { changed, identity } = await gated(context, db, input, {
      action: "identity.update",
      draft: async (tx) => [
        await (await import("../../operations/approval/draft.ts")).draftUpdate(tx, input.ref, update),
      ],
      run: (request) => updateIdentity(db, request, input.ref, update),
    });
    return { document: { changed, identity } };
  },
  view: viewIdentityUpdate,
});
