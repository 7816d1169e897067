import { createHash, randomBytes } from "node:crypto";
import type { Database } from "../../src/db/database.ts";
import { createToken } from "../../src/domain/token.ts";
import { type Authenticator, createAuthenticator } from "../../src/operations/authenticate.ts";
import type { Request } from "../../src/operations/change.ts";
import { readTarget } from "../../src/operations/control.ts";
import { issueCredential } from "../../src/operations/credential-issue.ts";
import { DEFAULT_ACTIVATION, DEFAULT_LIFE, previewIssuance } from "../../src/operations/issuance.ts";
import { pauseTarget } from "../../src/operations/pause.ts";
import { revokeTarget } from "../../src/operations/revoke.ts";

export const ALICE: Request = { actor: { kind: "operator", name: "alice" }, reason: "testing" };

/** Short, so that a test of a dead verifier is over soon. */
export const LEASE_MS = 400;

interface Wish {
  readonly parent?: string;
  readonly scopes?: readonly string[];
  readonly idleTtl?: number;
}

/** An identity with an active credential; returns its token. */
export async function issueActive(db: Database, slug: string, options: Wish = {}): Promise<string> {
  const token = await issuePending(db, slug, options);
  const decision = await createAuthenticator({ db, cache: false }).authenticate(token);
  if (!decision.ok) throw new Error(`not active: ${decision.code}`);
  return token;
}

/** An identity with a pending credential; returns its token. */
export async function issuePending(db: Database, slug: string, options: Wish = {}): Promise<string> {
  const secret = createToken("test", randomBytes);
  const seen = await previewIssuance(db, slug, "default");
  const identity = {
    slug,
    kind: "service",
    provider: null,
    threadId: null,
    owner: "you",
    displayName: null,
    labels: null,
    parent: options.parent ?? null,
    workspace: null,
    expiresIn: null,
    idleTtl: options.idleTtl ?? null,
  } as const;
  await issueCredential(
    db,
    ALICE,
    {
      identity,
      secret,
      name: "default",
      scopes: options.scopes ?? [],
      expiresIn: DEFAULT_LIFE,
      activateWithin: DEFAULT_ACTIVATION,
      replacePending: false,
    },
    seen,
  );
  return secret.text;
}

/** A token as a host had it before machine identities: a row of its own. */
export async function insertLegacy(db: Database, publicId: string, scopes = '["cards:*"]'): Promise<string> {
  const token = `kanagent_${publicId}`;
  await db.query(
    `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", scopes) VALUES ($1, 'old bot', 'kanagent', $2, $3)`,
    [publicId, createHash("sha256").update(token).digest("hex"), scopes],
  );
  return token;
}

/** An authenticator that holds a lease and has this token's answer in its cache: `db` has to be able to listen. */
export async function openVerifier(db: Database, token: string, leaseMs = LEASE_MS): Promise<Authenticator> {
  const verifier = createAuthenticator({ db, cache: { leaseMs } });
  await untilCached(verifier, token);
  return verifier;
}

/** Asks until the answer comes from the cache. */
export async function untilCached(verifier: Authenticator, token: string): Promise<void> {
  const before = verifier.counters.cached;
  await until(async () => {
    await verifier.authenticate(token);
    return verifier.counters.cached > before;
  });
}

/** Looks again and again until it is so; a test that waits in vain times out. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 5));
}

export async function pause(db: Database, ref: string) {
  return pauseTarget(db, ALICE, await readTarget(db, ref));
}

export async function revoke(db: Database, ref: string) {
  return revokeTarget(db, ALICE, await readTarget(db, ref));
}
