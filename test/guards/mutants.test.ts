import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { OwnTx } from "../../src/db/database.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { ATTACKS } from "./attacks/all.ts";
import type { Attack } from "./attacks/attack.ts";
import { attempt, installClock, readValue, rehearse, WORLD } from "./scene.ts";

/**
 * Whether the attacks prove anything: with a clause taken out of a guard, the attack on it has to come through, or to
 * be stopped by something else than the guards (a constraint).
 */
const [first] = databases();
if (first === undefined) throw new Error("there is no database to test on");

const attacks = Object.values(ATTACKS).flat();
let database: TestDatabase;

beforeAll(async () => {
  database = await first.create();
  await database.db.transaction(async (tx) => {
    await installClock(tx);
    await tx.script(WORLD);
  });
});
afterAll(() => database?.dispose());

/** A refusal in a guard's text, with the line that says what it refuses. */
const REFUSAL = /PERFORM midctl_refuse\('MC\d{3}', (.*)/g;

/** What only another database or another user can show: host.test.ts, log.test.ts and db/roles.test.ts do. */
const ELSEWHERE =
  /the lease of|there is no such workspace|workspaces have machine|the log has no head|a log begins empty/;

describe("every refusal in the guards", () => {
  test("is reached by an attack", async () => {
    const places: { code: string; says: string }[] = [];
    const reached = new Set<string>();
    await rehearse(database.db, async (tx) => {
      // Each gets an SQLSTATE of its own.
      for (const definition of await readGuards(tx)) {
        await tx.script(
          definition.replaceAll(REFUSAL, (_, says: string) => {
            const code = `X${String(places.length).padStart(4, "0")}`;
            places.push({ code, says });
            return `PERFORM midctl_refuse('${code}', ${says}`;
          }),
        );
      }
      for (const attack of attacks) reached.add(await codeOf(tx, attack));
    });

    expect(places.length).toBeGreaterThan(70);
    const missed = places.filter(({ code }) => !reached.has(code)).map(({ says }) => says);
    expect(missed.filter((says) => !ELSEWHERE.test(says))).toEqual([]);
  });
});

/** Part of a clause, what it becomes, and the attack that must come through then. */
const MUTANTS: readonly [clause: string, becomes: string, attack: string][] = [
  [
    `NEW."pausedAt" IS NOT NULL OR NEW."resumedAt"`,
    `NEW."resumedAt"`,
    "an identity born already paused once",
  ],
  [`OR NEW."lastUsedAt" IS NOT NULL THEN`, "THEN", "an identity born already used"],
  [
    `parent IN ('revoked', 'identity_revoked', 'expired')`,
    `parent IN ('revoked', 'expired')`,
    "an identity under a parent whose own parent is revoked",
  ],
  [
    `parent IN ('revoked', 'identity_revoked', 'expired')`,
    `parent IN ('revoked', 'identity_revoked')`,
    "an identity under an expired parent",
  ],
  [`NEW."expiresAt" > OLD."expiresAt"`, "false", "a later end of an identity"],
  [
    `NEW."expiresAt" IS NULL OR NEW."expiresAt" >`,
    `NEW."expiresAt" >`,
    "no end for an identity that has one",
  ],
  [`NEW."idleTtl" IS NULL OR`, "", "no idle life for an identity that has one"],
  [`NEW."lastUsedAt" < OLD."lastUsedAt" OR`, "", "a use before the last one"],
  [`NEW."lastUsedAt" IS NULL OR NEW."lastUsedAt" <`, `NEW."lastUsedAt" <`, "a use that is taken back"],
  [`OR NEW."lastUsedAt" > at + interval '1 minute'`, "", "a use in the future"],
  [`NEW."parentId", NEW."createdAt"`, `OLD."parentId", NEW."createdAt"`, "taking the parent away"],
  [`NEW.slug, NEW.kind`, `OLD.slug, NEW.kind`, "another slug of an identity"],
  [
    `above IN ('revoked', 'identity_revoked')`,
    `above IN ('revoked')`,
    "a credential under a revoked ancestor",
  ],
  [`OR NEW."activationDeadline" <= at`, "", "a credential born past its deadline"],
  [
    `(c.status = 'pending') IS TRUE AND midctl_is_live(c, at)`,
    `false`,
    "a second pending credential of a name",
  ],
  [
    `c.name = NEW.name AND midctl_is_current(c, at)`,
    `c.name = NEW.name AND midctl_is_current(c, at) AND c.status <> 'paused'`,
    "a second current credential beside a paused one",
  ],
  [`NEW."replacesId" <> holder.id`, "false", "a rotation of what is not current any more"],
  [
    `c."machineIdentityId" = identity.id AND c.name = NEW.name)`,
    `c."machineIdentityId" = identity.id)`,
    "a rotation across names",
  ],
  [
    `t."tokenHash" = NEW."tokenHash" AND t.scopes = NEW.scopes`,
    `t."tokenHash" = NEW."tokenHash"`,
    "an adoption with more scopes",
  ],
  [`= identity.id AND t."revokedAt" IS NULL`, `= identity.id`, "an adoption of a revoked legacy token"],
  [`OR NEW."replacesId" IS NOT NULL THEN`, "THEN", "an adoption in place of another credential"],
  [
    `NEW."tokenHash", NEW.scopes, NEW.adopted`,
    `OLD."tokenHash", NEW.scopes, NEW.adopted`,
    "another tokenHash of a credential",
  ],
  [
    `NEW."tokenHash", NEW.scopes, NEW.adopted`,
    `NEW."tokenHash", OLD.scopes, NEW.adopted`,
    "another scopes of a credential",
  ],
  [
    `NEW."graceSeconds", NEW."issuedAt"`,
    `OLD."graceSeconds", NEW."issuedAt"`,
    "another graceSeconds of a credential",
  ],
  [
    `NEW."supersededAt", NEW."graceUntil", NEW."pausedAt"`,
    `NEW."supersededAt", OLD."graceUntil", NEW."pausedAt"`,
    "a longer grace",
  ],
  [`IF OLD."activationDeadline" <= at THEN`, "IF false THEN", "an activation after the deadline"],
  [`IF OLD."expiresAt" <= at THEN`, "IF false THEN", "an activation after the end"],
  [
    `IF above <> 'active' THEN`,
    `IF above NOT IN ('active', 'paused') THEN`,
    "an activation under a paused identity",
  ],
  [
    `IF above <> 'active' THEN`,
    `IF above NOT IN ('active', 'paused') THEN`,
    "an activation under an idle identity",
  ],
  [
    `IF above <> 'active' THEN`,
    `IF above NOT IN ('active', 'identity_paused') THEN`,
    "an activation under a paused ancestor",
  ],
  [`IF NOT FOUND OR OLD.status NOT IN ('active', 'paused') THEN`, "IF false THEN", "a supersession by hand"],
  [
    `c."replacesId" = OLD.id AND c.status = 'active'`,
    `c."replacesId" = OLD.id`,
    "a supersession by a successor that is still pending",
  ],
  [
    `OLD."activationDeadline" > at AND NEW."replacedBy" IS NULL`,
    "false",
    "an abandonment before the deadline",
  ],
  [
    `AND b.action IN ('credential.issue', 'credential.adopt')`,
    "OR true",
    "an abandonment in favour of an older credential that hides behind a higher id",
  ],
  [`AND s.name = c.name`, "", "an abandonment in favour of a credential of another name"],
  [
    `NEW."workspaceId" IS DISTINCT FROM (SELECT`,
    `NEW."workspaceId" < (SELECT`,
    "a token with a workspace that its identity has not than its credential says",
  ],
  [
    `= OLD."tokenHash") IS NOT TRUE`,
    `= OLD."tokenHash") IS FALSE`,
    "a legacy token given to an identity by hand",
  ],
  [
    `NEW.name, NEW.scopes, NEW."createdAt"`,
    `NEW.name, OLD.scopes, NEW."createdAt"`,
    "another scopes of a token of ours",
  ],
  [
    `OR NEW."expiresAt" IS DISTINCT FROM midctl_credential_end(c) THEN`,
    "THEN",
    "a token with a later end than its credential says",
  ],
  [
    `EXISTS (SELECT FROM machine_identity_credential WHERE NOT adopted)`,
    "false",
    "a live environment once credentials exist",
  ],
  [`OLD.protected AND NOT NEW.protected`, "false", "a protected environment that is unprotected again"],
  [`pg_trigger_depth() < 2 OR`, "", "the log's size moved on"],
  [`pg_trigger_depth() < 2 OR`, "", "the edge of the tree altered"],
  [`pg_trigger_depth() < 2 OR`, "", "a tile of the tree written by hand"],
  [
    `PERFORM midctl_refuse('MC003', 'midctl_event_seal`,
    `RETURN coalesce(NEW, OLD); PERFORM midctl_refuse('MC003', 'midctl_event_seal`,
    "an event's seal written by hand",
  ],
  [
    `PERFORM midctl_refuse('MC003', 'midctl_event_seal`,
    `RETURN coalesce(NEW, OLD); PERFORM midctl_refuse('MC003', 'midctl_event_seal`,
    "an event's seal altered",
  ],
  [
    `PERFORM midctl_refuse('MC003', 'midctl_event_seal`,
    `RETURN coalesce(NEW, OLD); PERFORM midctl_refuse('MC003', 'midctl_event_seal`,
    "an event's seal deleted",
  ],
  [
    `PERFORM midctl_refuse('MC003', 'an event waits`,
    `RETURN NEW; PERFORM midctl_refuse('MC003', 'an event waits`,
    "another event put in the place of one that waits",
  ],
  [
    `OLD."machineIdentityId" IS NOT NULL OR NOT EXISTS`,
    `OLD."machineIdentityId" IS NULL AND NOT EXISTS`,
    "an event that blames another identity later",
  ],
  [
    `plan #>> '{environment,databaseId}' IS DISTINCT FROM`,
    `plan #>> '{environment,databaseId}' <>`,
    "a plan of no database",
  ],
  [`OR NEW."approveBy" > NEW."executeBy"`, "", "a plan approved after its execution"],
  [`at - interval '10 minutes' AND at`, `at - interval '10 days' AND at`, "a plan made an hour ago"],
  [`AND at + interval '1 minute' OR`, `AND at + interval '1 day' OR`, "a plan made in two minutes"],
  [
    `OR NEW."executeBy" > NEW."requestedAt" + interval '24 hours'`,
    "",
    "a plan to be carried out in two days",
  ],
  [
    `l."do" NOT IN ('pause', 'revoke')`,
    `l."do" NOT IN ('pause', 'resume', 'revoke')`,
    "breaking the glass to resume",
  ],
  [`IF NEW.principal = a.requester THEN`, "IF false THEN", "an approval by the requester"],
  [
    `IF NEW.principal <> a.requester OR a.status <> 'open' THEN`,
    "IF a.status <> 'open' THEN",
    "a request signed by another",
  ],
  [
    `IF a."approveBy" <= NEW.at AND NOT a."breakGlass" THEN`,
    "IF false THEN",
    "an approval that comes too late",
  ],
  [`count(DISTINCT v.principal)`, "count(*)", "a line of what one of two approved with two keys"],
  [`OLD.outcome IS NOT NULL OR NEW.outcome IS NULL`, "NEW.outcome IS NULL", "a line superseded once done"],
  [
    `IF NOT a."breakGlass" AND a.status <> 'approved' THEN`,
    "IF false THEN",
    "a line of what nobody approved",
  ],
  [`IF a."executeBy" <= at THEN`, "IF false THEN", "a line carried out too late"],
  [
    `IF a."breakGlass" AND NOT EXISTS (SELECT FROM midctl_approval_vote`,
    `IF false AND NOT EXISTS (SELECT FROM midctl_approval_vote`,
    "a line of glass broken unsigned",
  ],
  [
    `NEW.remaining <> OLD.remaining OR NEW.status <> 'cancelled'`,
    `NEW.status <> 'cancelled'`,
    "a cancellation that counts lines off",
  ],
  [`OR (OLD."breakGlass" AND NEW.status = 'cancelled')`, "", "cancelling broken glass"],
  [
    `AND (on_credential IS NULL OR l.credential = on_credential)`,
    ``,
    "by a line over another credential, revoking a credential",
  ],
  [
    `AND (on_identity IS NULL OR l.identity = on_identity)`,
    ``,
    "by a line over another identity, pausing an identity",
  ],
  [
    `l.secret = midctl_commitment(NEW."tokenHash") AND i.slug`,
    `i.slug`,
    "by a line of another secret, issuing",
  ],
  [
    `AND NEW.scopes::jsonb = l.terms #> '{token,scopes}'`,
    ``,
    `by a line that says less, issuing with scopes '["cards:*"]'`,
  ],
  [`AND NEW.name = l.terms ->> 'name'`, ``, "by a line that says less, issuing with name 'another'"],
  [
    `AND midctl_instant(NEW."expiresAt") = l.terms #>> '{token,notAfter}'
`,
    `
`,
    "by a line that says less, issuing with expiresAt '2031-01-01'",
  ],
  [
    `AND NEW."graceSeconds" = coalesce((l.terms ->> 'grace')::int, 0)`,
    ``,
    "by a line that says less, rotating with a longer grace",
  ],
  [
    `NEW."activationDeadline" <= midctl_now()`,
    `true OR NEW."activationDeadline" <= midctl_now()`,
    "by a line that says less, issuing with activationDeadline midctl_now() + interval '25 hours'",
  ],
  [
    `IS NOT DISTINCT FROM l.terms #>> '{replaces,id}'`,
    `IS NOT NULL`,
    "a rotation of what the line does not replace",
  ],
  [
    `IF l.terms -> 'revokes' ? ref THEN`,
    `IF l.line IS NOT NULL THEN`,
    "a revocation under a rotation that does not list it",
  ],
  [
    `AND midctl_is_version(OLD, (l.terms #>> '{identity,version}')::int)`,
    ``,
    "a change of an identity that another came before",
  ],
  [
    `midctl_is_version(i, (l.terms #>> '{identity,version}')::int)`,
    `true`,
    "issuing to an identity that has changed since",
  ],
  [
    `= (l.terms #>> '{replaces,version}')::int`,
    `IS NOT NULL`,
    "a rotation of a predecessor that has changed since",
  ],
  [
    `AND 'mc_' || p."publicId" IS DISTINCT FROM l.terms ->> 'replacesPending'`,
    `AND false`,
    "putting a pending credential aside that no line names",
  ],
  [
    `THEN midctl_has_done('identity.create', i."publicId")`,
    `THEN true`,
    "issuing to an identity that was made before",
  ],
  [
    `AND midctl_has_done('identity.pause', i."publicId")`,
    ``,
    "a change of an identity after a pause by somebody else",
  ],
  [
    `'executed' THEN NOT OLD."breakGlass" AND`,
    `'executed' THEN`,
    "broken glass that is executed by a trigger of somebody's own",
  ],
  [
    `'superseded' THEN NOT OLD."breakGlass" AND`,
    `'superseded' THEN`,
    "broken glass that is superseded by a trigger of somebody's own",
  ],
  [
    `THEN l.terms #>> '{credential,id}' NOT LIKE`,
    `THEN false AND l.terms #>> '{credential,id}' NOT LIKE`,
    "a plan that issues what it calls a legacy token",
  ],
  [`AND NEW.adopted = (l."do" = 'identity.adopt')`, ``, "taking a legacy token in by a line that issues"],
  [
    `AND midctl_is_live(c, midctl_now())) LIMIT 1`,
    `AND false) LIMIT 1`,
    "a rotation after a leak that revokes half of what it says",
  ],
  [
    `AND l."approvalId" <> OLD."approvalId" AND midctl_is_now(l)`,
    `AND false`,
    "a line in the transaction of another approval",
  ],
  [
    `(l.terms -> 'identity' = 'null') <> (l.terms -> 'credential' = 'null')`,
    `true`,
    "a plan that pauses an identity and names a credential beside it",
  ],
  [`coalesce(l.terms -> 'token', 'null') <> 'null'`, `false`, "a plan that pauses and names a token"],
  [
    `WHEN 'approved' THEN agreed AND`,
    `WHEN 'approved' THEN`,
    "a request that nobody voted on that is approved by a trigger of somebody's own",
  ],
  [
    `WHEN 'executed' THEN NOT OLD."breakGlass" AND NOT EXISTS`,
    `WHEN 'executed' THEN true OR NOT EXISTS`,
    "a request of which nothing was done that is executed by a trigger of somebody's own",
  ],
  [
    `l.outcome IS NULL)
        AND EXISTS`,
    `false) AND EXISTS`,
    "a request of which one line was done that is executed by a trigger of somebody's own",
  ],
  [
    `WHEN 'countersigned' THEN agreed AND`,
    `WHEN 'countersigned' THEN`,
    "a request of glass that nobody countersigned that is countersigned by a trigger of somebody's own",
  ],
  [
    `OLD.version = (l.terms #>> '{credential,version}')::int, 'revoking '`,
    `l.line IS NOT NULL, 'revoking '`,
    "the revoke of a credential that another change came before",
  ],
  [
    `OLD.version = (l.terms #>> '{credential,version}')::int, 'a change of '`,
    `l.line IS NOT NULL, 'a change of '`,
    "the pause of a credential that another change came before",
  ],
  [
    `midctl_is_created(NEW, l.terms)`,
    `l.line IS NOT NULL`,
    "by a line that says less, creating an identity with owner 'another'",
  ],
  [`i.owner = c ->> 'owner' AND`, ``, "by a line that says less, creating an identity with owner 'another'"],
  [
    `AND i.labels = c -> 'labels'`,
    ``,
    `by a line that says less, creating an identity with labels '{"team":"other"}'`,
  ],
  [
    `(c ->> 'provider', c ->> 'threadId', c ->> 'parent',`,
    `(c ->> 'provider', c ->> 'threadId', (SELECT p.slug FROM machine_identity p WHERE p.id = i."parentId"),`,
    "by a line that says less, creating an identity with parentId NULL",
  ],
  [
    `i.slug = terms #>> '{identity,slug}' AND i."displayName"`,
    `i."displayName"`,
    "by a line that says less, creating an identity with slug 'newer'",
  ],
  [
    `AND new.owner = coalesce(s ->> 'owner', old.owner)`,
    ``,
    "by a line that says less, another owner by owner = 'a third'",
  ],
  [
    `AND new.labels = coalesce(nullif(s -> 'labels', 'null'), old.labels)`,
    ``,
    "by a line that says less, another owner by owner = 'another', labels = '{}'",
  ],
  [
    `AND new."idleTtl" IS NOT DISTINCT FROM coalesce((s ->> 'idleTtl')::bigint, old."idleTtl")`,
    ``,
    `by a line that says less, another owner by owner = 'another', "idleTtl" = 3600`,
  ],
  [
    `ELSE (NEW."displayName", NEW.owner,`,
    `ELSE (NEW."displayName", OLD.owner,`,
    "by a line that says less, pausing an identity by status = 'paused', owner = 'another'",
  ],
  [
    `midctl_line_of(ARRAY[does],`,
    `midctl_line_of(ARRAY[does, 'identity.update'],`,
    "revoking by a line that updates",
  ],
  [
    `l.terms ->> 'role' = NEW.name`,
    `l.line IS NOT NULL`,
    "by a line that says less, a change of what another role may do",
  ],
  [
    `l.terms ->> 'endsAt' = ends`,
    `l.line IS NOT NULL`,
    "by a line that says less, ending legacy tokens at another moment",
  ],
  [`l."do" IS DISTINCT FROM NEW.action`, `false`, "a plan of two actions"],
  [
    `AND i.slug = l.terms #>> '{identity,slug}')) THEN`,
    `)) THEN`,
    "a plan that names an identity by another's slug",
  ],
  [`v."approvalId" = a.id) >= 64`, `v."approvalId" = a.id) >= 65`, "a 65th vote"],
  [`IF NOT (SELECT l.used FROM`, `IF false AND NOT (SELECT l.used FROM`, "a line used up without effect"],
  [
    `OR OLD.transaction IS DISTINCT FROM pg_current_xact_id() THEN`,
    `THEN`,
    "a line said to be done that nobody used up",
  ],
  [
    `t."revokedAt" IS NULL AND coalesce(t."expiresAt" > at, true)`,
    "false",
    "protection over a legacy token that no plan covers",
  ],
  [
    `AND midctl_is_now(l) AND l.secret = midctl_commitment(c."tokenHash")`,
    "AND midctl_is_now(l)",
    "protection by a plan of other secrets",
  ],
];

describe("without part of a clause", () => {
  test.each(MUTANTS)("%s → %s, the guards let through %s", async (clause, becomes, title) => {
    const attack = attacks.find(({ refuses }) => refuses === title);
    if (attack === undefined) throw new Error(`there is no such attack: ${title}`);
    await rehearse(database.db, async (tx) => {
      expect(await codeOf(tx, attack)).toBe(attack.code);

      const touched = (await readGuards(tx)).filter((definition) => definition.includes(clause));
      for (const definition of touched) await tx.script(definition.replaceAll(clause, becomes));

      expect(touched).not.toEqual([]);
      expect(await codeOf(tx, attack)).not.toMatch(/^MC/);
    });
  });
});

/** How an attack ends, with its set-up; everything is taken back. */
async function codeOf(tx: OwnTx, { given, attack }: Attack): Promise<string> {
  await tx.script("SAVEPOINT attack");
  let code: string;
  try {
    await tx.script(`${given ?? "SELECT 1"}; SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED`);
    code = (await attempt(tx, attack))?.code ?? "passed";
  } catch (error) {
    code = `its set-up failed: ${(error as Error).message}`;
  }
  await tx.script("ROLLBACK TO attack");
  return code;
}

/** The definitions of every trigger function of ours, and of what those of approvals ask. */
async function readGuards(tx: OwnTx): Promise<string[]> {
  const definitions = await readValue<string[]>(
    tx,
    `SELECT json_agg(pg_get_functiondef(oid)) FROM pg_proc
      WHERE proname LIKE 'midctl\\_%' AND (prorettype = 'trigger'::regtype OR prosrc LIKE '%midctl_refuse%' OR prosrc LIKE '%midctl_gate%'
          OR proname IN ('midctl_line_of', 'midctl_is_created', 'midctl_is_updated', 'midctl_is_version'))`,
  );
  return definitions;
}
