import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Database } from "../../src/db/database.ts";
import { addSeconds } from "../../src/domain/instant.ts";
import { commitToHash, NAMESPACES, type VoteKind } from "../../src/domain/plan.ts";
import { createPublicId, createToken } from "../../src/domain/token.ts";
import { carryOutLine } from "../../src/operations/approval/carry-out.ts";
import { type Draft, draftIssue } from "../../src/operations/approval/draft.ts";
import { type LineOf, type Plan, type PlanLine, writePlan } from "../../src/operations/approval/plan.ts";
import { change, type Request } from "../../src/operations/change.ts";
import type { IdentitySpec } from "../../src/operations/identity-create.ts";
import { DEFAULT_ACTIVATION, previewIssuance } from "../../src/operations/issuance.ts";
import { requireEnvironment } from "../../src/operations/lookup.ts";
import { endLines, insertRequest, insertVote } from "../../src/repository/approval.ts";
import { readMoment } from "../../src/repository/moment.ts";

/** A trust directory of its own, and the keys of the people in it, made and used by the real ssh-keygen. */
export interface TrustDesk {
  readonly dir: string;
  /** Who is in `allowed_signers`, and what `policy.json` says; written over what is there. */
  write(
    people: readonly string[],
    policy?: Readonly<Record<string, unknown>>,
    revoked?: readonly string[],
  ): void;
  /** What somebody signs with a key of theirs, in a namespace. Each name has as many keys as were asked for. */
  sign(by: Signing, text: string, namespace: string): string;
  /** Path of the private key. */
  keyFile(by: Signing): string;
  /** As `ssh-keygen -l` prints it. */
  fingerprint(by: Signing): string;
  dispose(): void;
}

/** A person by their first key, or by another: `["bob", 1]`. */
export type Signing = string | readonly [name: string, key: number];

/** @param people whose keys are made, and who are in `allowed_signers` until it is written over */
export function openTrustDesk(
  people: readonly string[] = ["alice", "bob", "carol"],
  policy: Readonly<Record<string, unknown>> = { quorum: 1 },
): TrustDesk {
  const place = mkdtempSync(join(tmpdir(), "midctl-trust-"));
  const dir = mkdtempSync(join(place, "trust-"));
  const keys = new Map<string, { file: string; line: string; fingerprint: string }>();
  const keyOf = (by: Signing) => {
    const name = typeof by === "string" ? `${by}.0` : by.join(".");
    const known = keys.get(name) ?? makeKeyFile(join(place, name));
    keys.set(name, known);
    return known;
  };
  const linesOf = (name: string) =>
    [...keys]
      .filter(([key]) => key.replace(/\.\d+$/, "") === name)
      .map(([, { line }]) => `${name} ${line}\n`)
      .join("");
  const desk: TrustDesk = {
    dir,
    write(named, said = policy, revoked = []) {
      for (const name of named) keyOf(name);
      writeFileSync(join(dir, "allowed_signers"), named.map(linesOf).join(""));
      writeFileSync(join(dir, "policy.json"), JSON.stringify(said));
      writeFileSync(
        join(dir, "revoked_keys"),
        revoked.map((name) => linesOf(name).replaceAll(`${name} `, "")).join(""),
      );
    },
    sign: (by, text, namespace) =>
      execFileSync("ssh-keygen", ["-Y", "sign", "-q", "-n", namespace, "-f", keyOf(by).file], {
        input: text,
        encoding: "utf8",
        stdio: ["pipe", "pipe", "ignore"],
      }),
    keyFile: (by) => keyOf(by).file,
    fingerprint: (by) => keyOf(by).fingerprint,
    dispose: () => rmSync(place, { recursive: true, force: true }),
  };
  desk.write(people);
  return desk;
}

function makeKeyFile(file: string): { file: string; line: string; fingerprint: string } {
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file]);
  const listed = execFileSync("ssh-keygen", ["-l", "-f", `${file}.pub`], { encoding: "utf8" });
  return {
    file,
    line: readFileSync(`${file}.pub`, "utf8").trim(),
    fingerprint: listed.split(" ")[1] ?? "",
  };
}

export const OPERATOR: Request = { actor: { kind: "operator", name: "alice" }, reason: "testing" };

/** A plan with its bytes, and what the tokens of its lines are kept as. */
export interface Written {
  readonly plan: Plan;
  readonly text: string;
  readonly digest: string;
  readonly hashes: readonly (string | null)[];
}

/** A plan of this database as a gated command would write it. @param edit of anything in it, before it is written */
export async function writePlanOf(
  db: Database,
  drafts: readonly Draft[],
  edit: Partial<Plan> = {},
): Promise<Written> {
  const [environment, { now, size, leafHash }] = await Promise.all([requireEnvironment(db), readMoment(db)]);
  const plan: Plan = {
    v: 1,
    id: `ap_${createPublicId(randomBytes)}`,
    action: drafts[0]?.line.do ?? "nothing",
    environment: {
      name: environment.name,
      live: environment.kind === "live",
      databaseId: environment.databaseId,
    },
    requester: "alice",
    reason: null,
    nonce: randomBytes(16).toString("hex"),
    requestedAt: now,
    approveBy: addSeconds(now, 3600),
    executeBy: addSeconds(now, 7200),
    log: { size, leafHash },
    breakGlass: null,
    lines: drafts.map(({ line }) => line),
    ...edit,
  };
  return { plan, ...writePlan(plan), hashes: drafts.map(({ hash }) => hash) };
}

/** Opens the request for a plan; unsigned. @param quorum as the database has it, which verifiers do not ask */
export async function openRequest(db: Database, written: Written, quorum = 1): Promise<void> {
  const { text, digest, hashes } = written;
  await change(db, OPERATOR, (tx) => insertRequest(tx, { plan: text, digest, hashes, quorum }));
}

/** Signs a plan and writes the vote. `text` and `namespace` are what is signed indeed, where that is another. */
export async function castVote(
  db: Database,
  desk: TrustDesk,
  written: Written,
  kind: VoteKind,
  by: Signing,
  { text = written.text, namespace = NAMESPACES[kind] as string, principal = nameOf(by) } = {},
): Promise<void> {
  await change(db, OPERATOR, (tx) =>
    insertVote(tx, written.plan.id, {
      kind,
      principal,
      keyFingerprint: desk.fingerprint(by),
      signature: desk.sign(by, text, namespace),
    }),
  );
}

function nameOf(by: Signing): string {
  return typeof by === "string" ? by : by[0];
}

export interface Signatures {
  /** null: the request goes unsigned. The plan's requester unless told. */
  readonly requester?: Signing | null;
  readonly approvers?: readonly Signing[];
  /** As the database counts; as many as approve unless told. */
  readonly quorum?: number;
  readonly edit?: Partial<Plan>;
}

/** A plan, its request and everything signed: alice asks and bob approves, unless told. */
export async function requestSigned(
  db: Database,
  desk: TrustDesk,
  drafts: readonly Draft[],
  { requester, approvers = ["bob"], quorum, edit = {} }: Signatures = {},
): Promise<Written> {
  const written = await writePlanOf(db, drafts, edit);
  await openRequest(db, written, quorum ?? Math.max(1, new Set(approvers.map(nameOf)).size));
  const asks = requester === undefined ? written.plan.requester : requester;
  if (asks !== null) await castVote(db, desk, written, "request", asks);
  for (const by of approvers) await castVote(db, desk, written, "approval", by);
  return written;
}

/** Does what an approved plan says, line by line, each in one transaction with the end of its line. */
export async function carryOut(db: Database, { plan, hashes }: Written): Promise<void> {
  for (const [at, line] of plan.lines.entries()) {
    const envelope = {
      open: (tx: Parameters<typeof endLines>[0]) => endLines(tx, plan.id, "done", [at + 1]),
    };
    await carryOutLine(db, { ...OPERATOR, envelope }, line, hashes[at] ?? null);
  }
}

export interface Issuing {
  readonly scopes?: readonly string[];
  /** Seconds. */
  readonly expiresIn?: number;
}

/** A fresh token and the line that issues it to a new service identity. */
export async function draftNewToken(
  db: Database,
  slug: string,
  { scopes = ["cards:read"], expiresIn = 90 * 86_400 }: Issuing = {},
): Promise<{ readonly token: string; readonly draft: Draft }> {
  const { kind } = await requireEnvironment(db);
  const secret = createToken(kind, randomBytes);
  const identity: IdentitySpec = {
    ...{ slug, kind: "service", owner: "platform", displayName: null, labels: null },
    ...{ provider: null, threadId: null, parent: null, workspace: null, expiresIn: null, idleTtl: null },
  };
  const draft = await draftIssue(
    db,
    {
      ...{ identity, name: "default", scopes, expiresIn, secret, replacePending: false },
      activateWithin: DEFAULT_ACTIVATION,
    },
    await previewIssuance(db, slug, "default"),
  );
  return { token: secret.text, draft };
}

/** A pending token that was requested, signed, and issued by its plan. */
export async function issueApproved(
  db: Database,
  desk: TrustDesk,
  slug: string,
  { scopes, expiresIn, ...signatures }: Issuing & Signatures = {},
): Promise<{ readonly token: string; readonly written: Written }> {
  const { token, draft } = await draftNewToken(db, slug, {
    ...(scopes === undefined ? {} : { scopes }),
    ...(expiresIn === undefined ? {} : { expiresIn }),
  });
  const written = await requestSigned(db, desk, [draft], signatures);
  await carryOut(db, written);
  return { token, written };
}

/** The line by which protecting an environment covers a token that is there. */
export async function draftCover(
  db: Database,
  hash: string,
  edit: Partial<LineOf<"environment.protect">["token"]> = {},
): Promise<Draft> {
  const [row] = await db.query<{
    publicId: string;
    slug: string | null;
    identityId: string | null;
    version: number | null;
    scopes: string;
  }>(
    `SELECT t."publicId", i.slug, i."publicId" AS "identityId", i.version::float8 AS version, t.scopes
       FROM agent_token t LEFT JOIN machine_identity i ON i.id = t."machineIdentityId" WHERE t."tokenHash" = $1`,
    [hash],
  );
  if (row === undefined) throw new Error("no such token");
  const { slug, identityId, version } = row;
  const line: PlanLine = {
    do: "environment.protect",
    identity: slug === null || identityId === null ? null : { slug, publicId: identityId, version },
    credential: { id: `${slug === null ? "at" : "mc"}_${row.publicId}`, version: null },
    token: {
      secret: commitToHash(hash),
      scopes: JSON.parse(row.scopes) as string[],
      notAfter: "2099-01-01T00:00:00.000Z",
      ...edit,
    },
    shortened: false,
  };
  return { line, hash: null };
}

/** A vote as its writer has it, of whatever is signed in it. */
export interface PlantedVote {
  readonly kind: VoteKind;
  readonly principal: string;
  readonly signature: string;
}

/** The rows of a plan as the database's owner can write them, who asks no guard; nothing need be true of them. */
export async function plantPlan(
  db: Database,
  { plan, text, digest }: Written,
  votes: readonly PlantedVote[],
): Promise<void> {
  await withoutGuards(
    db,
    async () => {
      await db.query(`INSERT INTO midctl_plan (digest, plan) VALUES ($1, $2)`, [digest, text]);
      await db.query(
        `INSERT INTO midctl_approval (digest, quorum, "publicId", action, requester, status, lines, remaining, "requestedAt", "approveBy", "executeBy")
         VALUES ($1, 1, $2, $3, $4, 'executed', $5::int, 0, now(), now(), now())`,
        [digest, plan.id.slice(3), plan.action, plan.requester, plan.lines.length],
      );
      for (const [at, line] of plan.lines.entries()) {
        await db.query(
          `INSERT INTO midctl_approval_line ("approvalId", line, "do", credential, secret, terms, outcome, used)
           SELECT id, $2::int, $3, $4::text, $5::text, $6::text::jsonb, 'done', true FROM midctl_approval WHERE digest = $1`,
          [
            digest,
            at + 1,
            line.do,
            line.credential?.id.slice(3) ?? null,
            line.token?.secret ?? null,
            JSON.stringify(line),
          ],
        );
      }
      for (const { kind, principal, signature } of votes) {
        await db.query(
          `INSERT INTO midctl_approval_vote ("approvalId", kind, principal, "keyFingerprint", signature)
           SELECT id, $2, $3, 'planted', $4 FROM midctl_approval WHERE digest = $1`,
          [digest, kind, principal, signature],
        );
      }
    },
    APPROVAL_TABLES,
  );
}

/** As the guards mark lines by which tokens are issued or covered, in an environment that is not protected: for verifiers. */
export async function markUsed(db: Database, { digest }: Written): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.script("ALTER TABLE midctl_approval_line DISABLE TRIGGER USER");
    await tx.query(
      `UPDATE midctl_approval_line SET outcome = 'done', used = true
        WHERE "approvalId" = (SELECT id FROM midctl_approval WHERE digest = $1)`,
      [digest],
    );
    const triggers = await tx.query<{ name: string }>(
      `SELECT quote_ident(tgname) AS name FROM pg_trigger WHERE tgrelid = 'midctl_approval_line'::regclass AND NOT tgisinternal`,
    );
    for (const { name } of triggers) {
      await tx.script(`ALTER TABLE midctl_approval_line ENABLE ALWAYS TRIGGER ${name}`);
    }
  });
}

export const APPROVAL_TABLES = [
  "midctl_plan",
  "midctl_approval",
  "midctl_approval_line",
  "midctl_approval_vote",
];

/** What somebody does who owns the database: the guards are off meanwhile, and as they were afterwards. */
export async function withoutGuards(
  db: Database,
  work: (db: Database) => Promise<unknown>,
  tables: readonly string[] = ["machine_identity", "machine_identity_credential", "agent_token"],
): Promise<void> {
  const rows = await db.query<{ statement: string }>(
    `SELECT format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', tgrelid::regclass, tgname) AS statement FROM pg_trigger
      WHERE tgrelid::regclass::text = ANY ($1::text[]) AND NOT tgisinternal AND tgenabled = 'A'`,
    [`{${tables.join(",")}}`],
  );
  const set = (statements: readonly string[]) => db.transaction((tx) => tx.script(statements.join("; ")));
  await set(tables.map((table) => `ALTER TABLE ${table} DISABLE TRIGGER USER`));
  try {
    await work(db);
  } finally {
    await set([
      ...tables.map((table) => `ALTER TABLE ${table} ENABLE TRIGGER USER`),
      ...rows.map((row) => row.statement),
    ]);
  }
}
