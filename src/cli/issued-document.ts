/** What issue and rotate print, and how their flags become an issuance. */
import * as z from "zod/mini";
import { parseScopes } from "../domain/scope.ts";
import { DEFAULT_ACTIVATION, DEFAULT_LIFE, type Issued } from "../operations/issuance.ts";
import type { LetGo } from "../operations/let-go.ts";
import { credentialSchema, identitySchema, letGoSchema } from "./documents.ts";
import type { SecretSource } from "./secret-source.ts";
import type { Outcome } from "./verb.ts";

export const issuedOutput = z.object({
  token: z.nullable(z.string()),
  tokenFile: z.nullable(z.string()),
  created: z.boolean(),
  identity: identitySchema,
  credential: credentialSchema,
  /** Ended by --compromised. */
  revoked: z.readonly(z.array(z.string())),
  letGo: z.nullable(letGoSchema),
});
export type IssuedDocument = z.infer<typeof issuedOutput>;

interface IssuanceWords {
  readonly name: string;
  readonly scope: readonly string[];
  readonly expires: number | "never" | undefined;
  readonly activateWithin: number | undefined;
  readonly replacePending: boolean;
}

export function issuanceOf(words: IssuanceWords) {
  return {
    name: words.name,
    scopes: words.scope.length === 0 ? null : parseScopes(words.scope),
    expiresIn: words.expires ?? DEFAULT_LIFE,
    activateWithin: words.activateWithin ?? DEFAULT_ACTIVATION,
    replacePending: words.replacePending,
  };
}

/** The outcome, its secret apart from the document. */
export function issuedOutcome(
  issued: Issued & { readonly letGo?: LetGo | null },
  source: SecretSource,
): Outcome<IssuedDocument> {
  const document: IssuedDocument = {
    token: null,
    tokenFile: source.tokenFile,
    created: issued.created,
    identity: issued.identity,
    credential: issued.credential,
    revoked: issued.revoked.map((publicId) => `mc_${publicId}`),
    letGo: issued.letGo ?? null,
  };
  return source.shown === null
    ? { document }
    : { document, secret: source.shown, undelivered: () => explainUndelivered(issued, source) };
}

async function explainUndelivered(issued: Issued, source: SecretSource): Promise<string> {
  const withdrawn = await source.undelivered(issued.credential);
  const ended = issued.revoked.map((publicId) => `mc_${publicId}`).join(", ");
  return ended === "" ? withdrawn : `${withdrawn}, and so, as asked, was ${ended}`;
}
