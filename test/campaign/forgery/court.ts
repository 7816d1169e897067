import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Database } from "../../../src/db/database.ts";
import { openPostgres } from "../../../src/db/postgres.ts";
import { parseShape } from "../../../src/domain/token.ts";
import { type Authenticator, createAuthenticator } from "../../../src/operations/authenticate.ts";
import { initDatabase } from "../../../src/operations/db-init.ts";
import type { Decision } from "../../../src/operations/decide.ts";
import type { TestServer } from "../../support/launcher.ts";
import {
  carryOut,
  draftNewToken,
  OPERATOR,
  requestSigned,
  type Signing,
  type TrustDesk,
  type Written,
} from "../../support/trust.ts";

/** A token that was requested, signed and issued as it should be, and what the plan says of it. */
export interface Victim {
  readonly token: string;
  readonly publicId: string;
  readonly slug: string;
  readonly scopes: readonly string[];
  readonly notAfter: string;
  readonly written: Written;
  /** From 0. */
  readonly line: number;
}

/** How the verifiers are built: as they should be, believing the database, or believing nobody. */
export type Temper = "honest" | "gullible" | "surly";

/** So many tokens share a plan. */
const BATCH = 10;
export const SCOPES = ["cards:read", "cards:write"];
const DAY = 86_400_000;

/** A protected environment in a database of its own, its trust root, and verifiers that believe it. */
export class Court {
  readonly name: string;
  readonly db: Database;
  readonly url: string;
  readonly desk: TrustDesk;
  readonly dir: string;
  readonly approvers: readonly string[];
  readonly databaseId: string;
  /** One that keeps answers and plans. */
  readonly warm: Authenticator;
  /** One without a trust root: what is refused here is no forgery, but a row that is no good. */
  readonly unchecked: Authenticator;
  /** What every new verifier is given. */
  readonly #trust: { readonly trust?: string };
  readonly #victims: Victim[] = [];
  readonly #lapsed: Victim[] = [];
  #honest: readonly Victim[] = [];
  #made = 0;

  private constructor(
    open: Pick<Court, "name" | "db" | "url" | "desk" | "dir" | "approvers" | "databaseId">,
    temper: Temper,
  ) {
    ({
      name: this.name,
      db: this.db,
      url: this.url,
      desk: this.desk,
      dir: this.dir,
      approvers: this.approvers,
      databaseId: this.databaseId,
    } = open);
    this.#trust = temper === "gullible" ? {} : { trust: this.dir };
    this.warm = createAuthenticator({ db: this.db, ...this.#trust });
    this.unchecked = createAuthenticator({ db: this.db, cache: false });
  }

  /** @param quorum also how many approve what is honest */
  static async open(server: TestServer, desk: TrustDesk, place: string, quorum: 1 | 2, temper: Temper) {
    const name = `quorum_${quorum}`;
    const { user, socketDir, port } = server;
    const lobby = openPostgres({ socketDir, port, user, database: "postgres" });
    await lobby.query(`CREATE DATABASE ${name} TEMPLATE template0`).finally(() => lobby.close());
    const url = `postgres://${user}@/${name}?host=${encodeURIComponent(socketDir)}&port=${port}`;
    const db = openPostgres({ url }, { applicationName: "campaign" });
    const named = { name: "production", live: true, protected: true };
    const { environment } = await initDatabase(db, OPERATOR, named);
    const { databaseId } = environment;
    const dir = join(place, `trust-${quorum}`);
    const elsewhere = "00000000-0000-4000-8000-000000000000";
    writeTrust(dir, desk, { quorum, databases: [temper === "surly" ? elsewhere : databaseId] });
    const approvers = ["bob", "carol"].slice(0, quorum);
    const court = new Court({ name, db, url, desk, dir, approvers, databaseId }, temper);
    await dropConstraints(db);
    court.#honest = await court.issue(BATCH);
    return court;
  }

  /** A verifier that has seen nothing yet. */
  fresh(): Authenticator {
    return createAuthenticator({ db: this.db, cache: false, ...this.#trust });
  }

  /** The answers of a fresh verifier and of the warm one, in this order, when what a use writes is written. */
  async decide(token: string): Promise<readonly [Decision, Decision]> {
    const fresh = this.fresh();
    const decisions = [await fresh.authenticate(token), await this.warm.authenticate(token)] as const;
    await Promise.all([fresh.settled(), this.warm.settled()]);
    return decisions;
  }

  /** Tokens of new identities, under one plan that everybody signed who has to. @param expiresIn seconds */
  async issue(count: number, expiresIn = 90 * 86_400): Promise<readonly Victim[]> {
    const made: { slug: string; token: string; draft: Awaited<ReturnType<typeof draftNewToken>>["draft"] }[] =
      [];
    while (made.length < count) {
      const slug = `service-${++this.#made}`;
      made.push({ slug, ...(await draftNewToken(this.db, slug, { scopes: SCOPES, expiresIn })) });
    }
    const drafts = made.map(({ draft }) => draft);
    const written = await requestSigned(this.db, this.desk, drafts, { approvers: this.approvers });
    await carryOut(this.db, written);
    return made.map(({ slug, token }, line) => ({
      ...{ token, slug, written, line, scopes: SCOPES },
      publicId: parseShape(token)?.publicId ?? "",
      notAfter: written.plan.lines[line]?.token?.notAfter ?? "",
    }));
  }

  /** One that nobody has touched, which both verifiers accept: else the campaign proves nothing. */
  async victim(): Promise<Victim> {
    if (this.#victims.length === 0) this.#victims.push(...(await this.issue(BATCH)));
    const victim = this.#victims.pop() as Victim;
    await this.requireAccepted(victim);
    return victim;
  }

  /** One whose plan has ended, though its row goes on. */
  async lapsed(): Promise<Victim> {
    if (this.#lapsed.length === 0) {
      const batch = await this.issue(BATCH, SHORT_LIFE);
      for (const victim of batch) await this.requireAccepted(victim);
      this.#lapsed.push(...batch);
    }
    return this.#lapsed.pop() as Victim;
  }

  /** An honest token, of those that live through the campaign. */
  honest(at: number): Victim {
    return this.#honest[at % this.#honest.length] as Victim;
  }

  /** Throws where a verifier refuses an honest token, or answers with other terms than were signed. */
  async requireAccepted(victim: Victim): Promise<void> {
    for (const decision of await this.decide(victim.token)) {
      const under = this.#trust.trust === undefined ? null : victim.written.plan.id;
      if (!keepsTerms(decision, victim) || (decision.ok && decision.approval !== under)) {
        throw new Refusal(
          `${this.name}: an honest token was not accepted as signed: ${JSON.stringify(decision)}`,
        );
      }
    }
  }

  /** Waits until a moment has passed by the database's clock. */
  async passed(moment: string): Promise<void> {
    await this.db.query("SELECT pg_sleep(greatest(0, extract(epoch FROM $1::timestamptz - now()) + 0.01))", [
      moment,
    ]);
  }

  async close(): Promise<void> {
    await this.warm.close();
    await this.db.close();
  }
}

/** An honest control that failed. */
export class Refusal extends Error {}

/** Seconds from request to end, in which a batch is signed, issued and used. */
const SHORT_LIFE = 5;

/** Whether an answer accepts the token with what was signed, and no more. */
export function keepsTerms(decision: Decision, { slug, publicId, scopes, notAfter }: Victim): boolean {
  return (
    decision.ok &&
    decision.actor.slug === slug &&
    decision.credential?.id === `mc_${publicId}` &&
    JSON.stringify(decision.scopes) === JSON.stringify(scopes) &&
    decision.expiresAt !== null &&
    decision.expiresAt <= notAfter
  );
}

/** A day ago and a day ahead, as `allowed_signers` has it. */
const stamp = (at: number): string => `${new Date(at).toISOString().slice(0, 10).replaceAll("-", "")}Z`;

/** Who may sign: four owners, two of them with a second key; and people whose keys must not count. */
function writeTrust(dir: string, desk: TrustDesk, policy: Readonly<Record<string, unknown>>): void {
  const line = (by: Signing, options = ""): string => {
    const name = typeof by === "string" ? by : by[0];
    return `${name} ${options}${publicKey(desk, by)}\n`;
  };
  mkdirSync(dir);
  writeFileSync(
    join(dir, "allowed_signers"),
    [
      ...["alice", "bob", "carol", "dave"].map((name) => line(name)),
      ...["alice", "bob"].map((name) => line([name, 1])),
      line("gone", `valid-before="${stamp(Date.now() - DAY)}" `),
      line("early", `valid-after="${stamp(Date.now() + 2 * DAY)}" `),
      line("stolen"),
      line("asker", `namespaces="midctl-request@v1" `),
    ].join(""),
  );
  writeFileSync(join(dir, "revoked_keys"), `${publicKey(desk, "stolen")}\n`);
  writeFileSync(join(dir, "policy.json"), JSON.stringify(policy));
}

function publicKey(desk: TrustDesk, by: Signing): string {
  return readFileSync(`${desk.keyFile(by)}.pub`, "utf8").trim();
}

/** What an owner drops that keeps rows from being what he wants. */
async function dropConstraints(db: Database): Promise<void> {
  for (const statement of [
    "ALTER TABLE midctl_plan DROP CONSTRAINT midctl_plan_digest_check",
    "ALTER TABLE midctl_approval DROP CONSTRAINT midctl_approval_digest_unique",
  ]) {
    await db.query(statement);
  }
}
