import { expect } from "vitest";
import { readSqlState } from "../../src/db/failure.ts";
import { credentialId, identity, idOf, issue, set, setIdentity, setToken } from "../guards/scene.ts";
import type { TestDatabase } from "../support/databases.ts";
import type { Command, Issuance } from "./commands.ts";
import { type ModelCredential, type ModelIdentity, ModelWorld, type NewCredential } from "./world.ts";

const START = Date.UTC(2030, 0, 1);

let runs = 0;

/** One sequence: a corner of the database of its own, and the model of it. */
export class Run {
  readonly #database: TestDatabase;
  readonly #prefix = `r${++runs}`;
  readonly #world = new ModelWorld(START);
  readonly #seen: Set<string>;
  #made = 0;

  constructor(database: TestDatabase, seen: Set<string>) {
    this.#database = database;
    this.#seen = seen;
  }

  async take(command: Command): Promise<void> {
    const move = this.#plan(command);
    if (move === null) return;
    const refusal = await this.#execute(move.sql);
    expect({ ...command, taken: refusal === null, refusal }).toEqual({
      ...command,
      taken: move.taken,
      refusal,
    });
    const description = await this.#describe();
    expect(description).toEqual(this.#world.describe());
    this.#seen.add(`${command.do} ${move.taken ? "taken" : "refused"}`);
    for (const row of description) this.#seen.add(row.split(" ")[2] ?? "");
  }

  /** The statements, and whether the model took the same; null where there is nothing to do it to. */
  #plan(command: Command): { readonly sql: string; readonly taken: boolean } | null {
    const world = this.#world;
    const at = this.#at;
    switch (command.do) {
      case "wait":
        world.now += command.seconds * 1000;
        return { sql: "SELECT 1", taken: true };
      case "create": {
        const slug = `${this.#prefix}-${this.#made++}`;
        const parent = command.parent === null ? null : pick(world.identities, command.parent);
        return {
          sql: identity(slug, {
            ...(parent === null ? {} : { parentId: idOf(parent.slug) }),
            ...(command.life === null ? {} : { expiresAt: at(command.life) }),
            ...(command.idleTtl === null ? {} : { idleTtl: String(command.idleTtl) }),
          }),
          taken: world.createIdentity(slug, parent, command.life, command.idleTtl),
        };
      }
      case "issue":
      case "rotate":
      case "replace":
        return this.#planIssuance(command);
      case "credential": {
        const credential = pick(world.credentials, command.which);
        if (credential === null) return null;
        return {
          sql: set(credential.publicId, `status = '${command.to}'`),
          taken: world.setCredential(credential, command.to),
        };
      }
      case "shorten credential": {
        const credential = pick(world.credentials, command.which);
        if (credential === null) return null;
        return {
          sql: set(credential.publicId, `"expiresAt" = ${at(command.life)}`),
          taken: world.shorten(credential, command.life),
        };
      }
      case "revoke token": {
        const credential = pick(world.credentials, command.which);
        if (credential === null) return null;
        // Never the instant that is there already: repeating that would be no change.
        const instant = at(1_000_000 + this.#made++);
        return {
          sql: setToken(credential.publicId, `"revokedAt" = ${instant}`),
          taken: world.revokeToken(credential),
        };
      }
      default: {
        const which = pick(world.identities, command.which);
        return which === null ? null : this.#planIdentity(command, which);
      }
    }
  }

  #planIdentity(
    command: Extract<Command, { do: "identity" | "use" | "shorten identity" }>,
    which: ModelIdentity,
  ) {
    if (command.do === "identity") {
      return {
        sql: setIdentity(which.slug, `status = '${command.to}'`),
        taken: this.#world.setIdentity(which, command.to),
      };
    }
    if (command.do === "use") {
      return { sql: setIdentity(which.slug, '"lastUsedAt" = midctl_now()'), taken: this.#world.use(which) };
    }
    return {
      sql: setIdentity(which.slug, `"expiresAt" = ${this.#at(command.life)}`),
      taken: this.#world.shorten(which, command.life),
    };
  }

  #planIssuance(command: Issuance & { readonly do: "issue" | "rotate" | "replace" }) {
    const world = this.#world;
    const owner = pick(world.identities, command.identity);
    if (owner === null) return null;
    const siblings = world.credentials.filter(
      (each) => each.identity === owner && each.name === command.name,
    );
    const current = siblings.find((each) => each.status === "active" || each.status === "paused") ?? null;
    const chosen = command.which === null ? current : pick(world.credentials, command.which);
    const wanted: NewCredential = {
      publicId: `${this.#prefix}c${this.#made++}`.padEnd(12, "x"),
      identity: owner,
      name: command.name,
      replaces: command.do === "issue" ? null : chosen,
      graceSeconds: command.grace,
      life: command.life,
      activateWithin: command.activateWithin,
    };
    const sql = issue(wanted.publicId, owner.slug, {
      name: `'${wanted.name}'`,
      expiresAt: this.#at(wanted.life),
      activationDeadline: this.#at(wanted.activateWithin),
      graceSeconds: String(wanted.graceSeconds),
      ...(wanted.replaces === null ? {} : { replacesId: credentialId(wanted.replaces.publicId) }),
    });
    if (command.do !== "replace") return { sql, taken: world.issue(wanted) };
    const pending = siblings.find((each) => each.status === "pending") ?? null;
    if (pending === null) return null;
    return {
      sql: `${set(pending.publicId, `status = 'abandoned', "replacedBy" = '${wanted.publicId}'`)}; ${sql}`,
      taken: world.replace(pending, wanted),
    };
  }

  readonly #at = (seconds: number): string =>
    `'${new Date(this.#world.now + seconds * 1000).toISOString().replace("Z", "")}'::timestamp`;

  async #execute(sql: string): Promise<string | null> {
    try {
      await this.#database.db.transaction((tx) =>
        tx.script(`SELECT set_config('test.now', ${this.#at(0)}::text, true); ${sql}`),
      );
      return null;
    } catch (error) {
      return `${readSqlState(error)} ${(error as Error).message}`;
    }
  }

  async #describe(): Promise<string[]> {
    const rows = await this.#database.db.query<{ row: string }>(
      `SELECT concat_ws(' ', slug, status, midctl_identity_state(id, ${this.#at(0)})) AS row
         FROM machine_identity WHERE slug LIKE $1 || '-%'
       UNION ALL
       SELECT concat_ws(' ', c."publicId", c.status, midctl_credential_state(c."machineIdentityId", c.status, c."activationDeadline", c."expiresAt", c."graceUntil", ${this.#at(0)}), coalesce(midctl_instant(c."graceUntil"), '-'),
                        CASE WHEN t."revokedAt" IS NULL THEN 'false' ELSE 'true' END)
         FROM machine_identity_credential c JOIN machine_identity i ON i.id = c."machineIdentityId" JOIN agent_token t ON t."publicId" = c."publicId"
        WHERE i.slug LIKE $1 || '-%'`,
      [this.#prefix],
    );
    return rows.map(({ row }) => row).sort();
  }
}

function pick<T extends ModelIdentity | ModelCredential>(rows: readonly T[], n: number): T | null {
  // The latest first: most of what happens, happens to them.
  return rows.length === 0 ? null : (rows[rows.length - 1 - (n % rows.length)] ?? null);
}
