import type { Database, Tx } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import { parseReference } from "../../domain/reference.ts";
import type { EnvironmentKind } from "../../domain/token.ts";
import { findCredential, readHolders } from "../../repository/credential.ts";
import { findIdentity, lockIdentity } from "../../repository/identity.ts";
import type { Request } from "../change.ts";
import { type ControlStatus, controlTarget, type Target } from "../control.ts";
import { issueCredential } from "../credential-issue.ts";
import { rotateCredential } from "../credential-rotate.ts";
import { grantRoles } from "../db-grant.ts";
import { adoptToken } from "../identity-adopt.ts";
import { createIdentity, type IdentitySpec } from "../identity-create.ts";
import { updateIdentity } from "../identity-update.ts";
import type { Issuance, Seen } from "../issuance.ts";
import { requireEnvironment } from "../lookup.ts";
import { sunsetTokens } from "../token-sunset.ts";
import type { Creation, LineOf, PlanLine } from "./plan.ts";

/**
 * Does what one line says, by the operation that anybody would do it by. The request's envelope uses the line up in the same
 * transaction. `db.migrate` and `db.rollback` are no lines of a database, and `environment.protect` takes all at once.
 * @param hash what the line's token is kept as, hex; for the lines that issue one
 * @throws MidctlError as the operation; `conflict` where what is there is not what the plan was made on
 */
export async function carryOutLine(
  db: Database,
  request: Request,
  line: PlanLine,
  hash: string | null,
): Promise<void> {
  switch (line.do) {
    case "identity.create":
      await createIdentity(db, request, specOf(line.identity, line.create), { ifNotExists: false });
      return;
    case "identity.update":
      await updateIdentity(db, request, line.identity.slug, {
        displayName: line.set.displayName,
        owner: line.set.owner,
        labels: line.set.labels,
        setLabels: {},
        removeLabels: [],
        expiresIn: line.set.expiresAt === null ? null : { at: line.set.expiresAt },
        idleTtl: line.set.idleTtl,
      });
      return;
    case "credential.issue": {
      const seen = await readSeen(db, line);
      await issueCredential(
        db,
        request,
        {
          ...(await issuanceOf(line, hash, seen)),
          identity: line.create === null ? line.identity.slug : specOf(line.identity, line.create),
        },
        seen,
      );
      return;
    }
    case "credential.rotate": {
      const seen = await readSeen(db, line);
      await rotateCredential(
        db,
        request,
        {
          ...(await issuanceOf(line, hash, seen)),
          identity: line.identity.slug,
          grace: line.grace,
          expectCurrent: line.replaces.id.slice(3),
          compromised: line.revokes.length > 0,
        },
        seen,
      );
      return;
    }
    case "pause":
      await control(db, request, line, "paused");
      return;
    case "resume":
      await control(db, request, line, "active");
      return;
    case "revoke":
      await control(db, request, line, "revoked");
      return;
    case "identity.adopt":
      await adoptToken(db, request, {
        token: line.credential.id.slice(3),
        identity: line.create === null ? line.identity.slug : specOf(line.identity, line.create),
        name: line.name,
      });
      return;
    case "token.sunset":
      await sunsetTokens(db, request, { at: line.endsAt });
      return;
    case "environment.grant":
      await grantRoles(db, request, {
        name: line.role,
        roles: line.roles,
        revoke: line.revoke,
      });
      return;
    default:
      throw new MidctlError("internal", `${line.do} is not carried out line by line; nothing was changed.`);
  }
}

/**
 * Locks what a line is about and compares it with what the plan was made on.
 * @throws MidctlError `conflict`
 */
export async function requireUnmoved(tx: Tx, line: PlanLine): Promise<void> {
  if (line.identity !== null) {
    const { slug, publicId, version } = line.identity;
    const identity = await lockIdentity(tx, slug);
    if (
      version === null ? identity !== null : identity?.publicId !== publicId || identity.version !== version
    ) {
      throw moved(slug, version === null ? "exists by now" : "has changed since");
    }
  }
  const credentials = [
    ...(line.credential === null || line.do === "identity.adopt" ? [] : [line.credential]),
    ...(line.do === "credential.rotate" ? [line.replaces] : []),
  ];
  for (const { id, version } of credentials) {
    const credential = await findCredential(tx, id.slice(3));
    if ((credential?.version ?? null) !== version) {
      throw moved(id, version === null ? "exists by now" : "has changed since");
    }
  }
}

function moved(ref: string, what: string): MidctlError {
  return new MidctlError("conflict", `${ref} ${what}; this line was not carried out.`, {
    hint: "Look again, and request it anew if it is still wanted.",
  });
}

async function control(
  db: Database,
  request: Request,
  line: LineOf<"pause"> | LineOf<"resume"> | LineOf<"revoke">,
  status: ControlStatus,
): Promise<void> {
  await controlTarget(db, request, targetOf(line), status);
}

function targetOf(line: LineOf<"pause"> | LineOf<"resume"> | LineOf<"revoke">): Target {
  const ref = line.credential?.id ?? line.identity?.slug ?? "";
  return {
    reference: parseReference(ref),
    status: line.from,
    version: line.credential?.version ?? line.identity?.version ?? 0,
    title: ref,
  };
}

function specOf(
  identity: { readonly slug: string; readonly publicId: string },
  create: Creation,
): IdentitySpec {
  const { expiresAt, ...terms } = create;
  return {
    ...terms,
    slug: identity.slug,
    publicId: identity.publicId,
    expiresIn: expiresAt === null ? null : { at: expiresAt },
  };
}

type Issuing = LineOf<"credential.issue"> | LineOf<"credential.rotate">;

/** What is there now, but that only the pending one gives way which the plan names. */
async function readSeen(db: Tx, line: Issuing): Promise<Seen> {
  const [environment, holders] = await Promise.all([
    requireEnvironment(db),
    readHolders(db, line.identity.slug, line.name),
  ]);
  const { pending, current } = holders;
  return {
    environment,
    holders: { current, pending: pending?.id === line.replacesPending ? pending : null },
  };
}

async function issuanceOf(
  line: Issuing,
  hash: string | null,
  seen: Seen,
): Promise<Omit<Issuance, "identity">> {
  if (hash === null) {
    throw new MidctlError(
      "internal",
      `The hash of ${line.credential.id} is not kept beside its plan; nothing was issued.`,
    );
  }
  const environment: EnvironmentKind = seen.environment.kind;
  return {
    name: line.name,
    scopes: line.token.scopes,
    expiresIn: { at: line.token.notAfter },
    activateWithin: line.activateWithin,
    secret: { environment, publicId: line.credential.id.slice(3), hash },
    replacePending: line.replacesPending !== null,
  };
}

/** Rows that a line is about, as fields that people know; what carrying it out changes of them is its effect. */
export async function readSubject(tx: Tx, line: PlanLine): Promise<ReadonlyMap<string, string>> {
  const fields = new Map<string, string>();
  const add = (ref: string, row: object | null, names: readonly string[]): void => {
    if (row === null) return;
    for (const name of names) {
      const value = (row as Record<string, unknown>)[name];
      if (value !== null && value !== undefined) fields.set(`${ref} ${name}`, show(value));
    }
  };
  if (line.identity !== null) {
    const { slug } = line.identity;
    add(slug, await findIdentity(tx, slug), [
      ...["displayName", "owner", "labels", "parent", "workspace"],
      ...["status", "effectiveStatus", "expiresAt", "idleTtl"],
    ]);
  }
  const ids = new Set([
    ...(line.credential === null ? [] : [line.credential.id]),
    ...(line.do === "credential.rotate" ? [line.replaces.id, ...line.revokes] : []),
    ...("replacesPending" in line && line.replacesPending !== null ? [line.replacesPending] : []),
  ]);
  for (const id of ids) {
    add(id, await findCredential(tx, id.slice(3)), [
      ...["identity", "name", "scopes", "status", "effectiveStatus"],
      ...["activationDeadline", "expiresAt", "graceUntil", "replaces"],
    ]);
  }
  return fields;
}

function show(value: unknown): string {
  if (Array.isArray(value)) return value.join(" ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
