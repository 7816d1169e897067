/**
 * Of what a log had decided and a database no longer knows: what had narrowed anybody's reach without ending or halting one actor.
 * It is for people to do again: rights of database roles, approvals that were rejected, cancelled or used, protection, workspaces and
 * adoptions.
 */
import { afterOf, type LostEntry } from "./lost-entry.ts";

interface At {
  /** The entry that decided it last, its index, action and time. */
  readonly entry: number;
  readonly action: string;
  readonly at: string;
}

interface Grant {
  readonly what: "grant";
  /** The database role, and all that it kept. */
  readonly name: string;
  readonly roles: readonly string[];
}

interface Sunset {
  readonly what: "sunset";
  /** RFC 3339. */
  readonly endsAt: string;
  /** Public ids. */
  readonly tokens: readonly string[];
}

interface Adoption {
  readonly what: "adoption";
  /** Public id. */
  readonly token: string;
  /** Of the identity. */
  readonly slug: string;
  readonly owner: string | null;
  /** Of the credential. */
  readonly name: string;
}

/** `id` is `ap_…` of an approval and the public id of a workspace, `place` a URL without user or password. */
export type ForgottenLimit = At &
  (
    | Grant
    | Sunset
    | Adoption
    | { readonly what: "approval" | "workspace"; readonly id: string }
    | { readonly what: "protection" }
    | { readonly what: "move"; readonly place: string }
  );

/** After which an approval lets nothing happen any more. */
const APPROVALS = new Set(["approval.reject", "approval.cancel", "approval.supersede"]);

/** Reads lost entries in their order. */
export class ForgottenLimits {
  readonly #limits = new Map<string, ForgottenLimit>();
  /** Who owns the identities that were created, by public id. */
  readonly #owners = new Map<string, string>();

  /** Whether the entry's action is told among the limits, and need not be counted. */
  take(said: LostEntry): boolean {
    const { action, details } = said;
    const seen = { entry: said.index, action, at: said.at };
    // Whatever an approval let happen used it up.
    const leave = textOf(said.approval);
    if (leave !== null && !action.startsWith("approval.")) this.#used(leave, seen);
    if (action === "identity.create" && said.identity !== null)
      this.#owners.set(said.identity, textOf(details.owner) ?? "");
    if (action === "credential.adopt" && said.credential !== null) {
      const owner = this.#owners.get(said.identity ?? "") ?? null;
      const adoption = {
        what: "adoption",
        token: said.credential,
        slug: said.slug ?? "",
        owner,
        name: textOf(details.name) ?? "",
      } as const;
      this.#limits.set(`adoption ${said.credential}`, { ...seen, ...adoption });
    } else if (APPROVALS.has(action)) {
      const id = textOf(details.approval);
      if (id === null) return false;
      this.#limits.set(`approval ${id}`, { ...seen, what: "approval", id });
    } else if (action === "environment.grant") return this.#granted(details, seen);
    else if (
      action === "environment.protect" ||
      (action === "environment.init" && details.protected === true)
    )
      this.#limits.set("protection", { ...seen, what: "protection" });
    else if (action === "environment.move")
      this.#limits.set("move", { ...seen, what: "move", place: textOf(details.movedTo) ?? "" });
    else if (action === "workspace.delete") {
      const id = textOf(details.workspace);
      if (id === null) return false;
      this.#limits.set(`workspace ${id}`, { ...seen, what: "workspace", id });
    } else if (action === "token.update") return this.#ends(said, seen);
    else return false;
    return true;
  }

  /** @param isEnded whether a legacy token is revoked again anyway, by its public id */
  all(isEnded: (token: string) => boolean): ForgottenLimit[] {
    return [...this.#limits.values()]
      .map((limit) =>
        limit.what === "sunset"
          ? { ...limit, tokens: limit.tokens.filter((token) => !isEnded(token)) }
          : limit,
      )
      .filter((limit) =>
        limit.what === "adoption"
          ? !isEnded(limit.token)
          : limit.what !== "sunset" || limit.tokens.length > 0,
      )
      .sort((a, b) => a.entry - b.entry);
  }

  #used(id: string, seen: At): void {
    if (!this.#limits.has(`approval ${id}`))
      this.#limits.set(`approval ${id}`, { ...seen, what: "approval", id });
  }

  #granted(details: LostEntry["details"], seen: At): boolean {
    const name = textOf(details.databaseRole);
    const after = afterOf(details.roles);
    if (name === null || !Array.isArray(after)) return false;
    const before = (details.roles as readonly unknown[])[0];
    const isNarrowed = Array.isArray(before) && before.some((role) => !after.includes(role));
    // Once something was taken away, the last word counts.
    if (!isNarrowed && !this.#limits.has(`grant ${name}`)) return false;
    this.#limits.set(`grant ${name}`, { ...seen, what: "grant", name, roles: after as string[] });
    return true;
  }

  #ends({ token, details }: LostEntry, seen: At): boolean {
    const endsAt = textOf(afterOf(details.expiresAt));
    if (token === null || endsAt === null) return false;
    const tokens = new Set<string>();
    const before = this.#limits.get(`sunset ${endsAt}`);
    if (before?.what === "sunset") for (const each of before.tokens) tokens.add(each);
    tokens.add(token);
    this.#limits.set(`sunset ${endsAt}`, { ...seen, what: "sunset", endsAt, tokens: [...tokens] });
    return true;
  }
}

function textOf(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}
