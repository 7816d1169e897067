/**
 * Writers in a process of their own, as many as are asked for: they change identities that all writers share until the process is
 * killed, and say on stdout what was acknowledged, a line for each: `identity.create svc-3`.
 */
import { setTimeout as delay } from "node:timers/promises";
import { MidctlError } from "../../../src/domain/errors.ts";
import { issueCredential, openPostgres } from "../../../src/index.ts";
import type { Request } from "../../../src/operations/change.ts";
import { readTarget } from "../../../src/operations/control.ts";
import { createIdentity, type IdentitySpec } from "../../../src/operations/identity-create.ts";
import { pauseTarget } from "../../../src/operations/pause.ts";
import { resumeTarget } from "../../../src/operations/resume.ts";
import { revokeTarget } from "../../../src/operations/revoke.ts";
import { createRandom } from "../random.ts";

const [socketDir = "", port = "", user = "", database = "", seed = "", name = "", lanes = ""] =
  process.argv.slice(2);
/** Slugs that they share: few, so that they meet. */
const SHARED = 24;
const random = createRandom(Number(seed), Number(name));
const request: Request = { actor: { kind: "operator", name: `writer-${name}` }, reason: null, noWait: true };
let made = 0;
const db = openPostgres(
  { socketDir, port: Number(port), user, database },
  { max: Number(lanes), applicationName: "writer" },
);

await Promise.all(Array.from({ length: Number(lanes) }, write));

async function write(): Promise<never> {
  for (;;) {
    try {
      process.stdout.write(`${await changeSomething()}\n`);
    } catch (error) {
      // What is not allowed as things stand is no news; a server that is gone comes back.
      if (!(error instanceof MidctlError)) throw error;
      if (error.code === "unavailable") await delay(20);
    }
  }
}

async function changeSomething(): Promise<string> {
  const slug = `svc-${random.below(SHARED)}`;
  const draw = random.below(10);
  if (draw < 4) {
    const own = `svc-${name}-${process.pid}-${made++}`;
    const { identity } = await createIdentity(db, request, specOf(own), { ifNotExists: false });
    return `identity.create ${identity.slug}`;
  }
  if (draw < 6) {
    const issued = await db.transaction((tx) =>
      issueCredential(tx, {
        identity: { slug, owner: "team" },
        actor: `writer-${name}`,
        name: `n-${process.pid}-${made++}`,
      }),
    );
    return `credential.issue ${issued.credential.id}`;
  }
  if (draw < 8) return said(await pauseTarget(db, request, await readTarget(db, slug)), "identity.pause");
  if (draw < 9) return said(await resumeTarget(db, request, await readTarget(db, slug)), "identity.resume");
  const own = `svc-${name}-${process.pid}-${random.below(made + 1)}`;
  return said(await revokeTarget(db, request, await readTarget(db, own)), "identity.revoke", own);

  function said({ changed }: { readonly changed: boolean }, action: string, of: string = slug): string {
    return changed ? `${action} ${of}` : `nothing ${of}`;
  }
}

function specOf(slug: string): IdentitySpec {
  const nothing = {
    ...{ provider: null, threadId: null, displayName: null, labels: null, parent: null, workspace: null },
    ...{ expiresIn: null, idleTtl: null },
  };
  return { slug, kind: "service", owner: "team", ...nothing };
}
