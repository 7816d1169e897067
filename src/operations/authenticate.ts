import type { Database } from "../db/database.ts";
import { recordUse } from "../repository/token.ts";
import { useToken } from "./credential-activate.ts";
import { type Decision, decide } from "./decide.ts";

export interface Authenticator {
  /**
   * Decides on a bearer's token. A good one is a use: it activates a pending credential, exactly once under any
   * concurrency and before the answer, and its last use is noted by the minute. Never throws: where the database
   * cannot be asked, or an activation cannot be written, the code is `unavailable`.
   */
  authenticate(token: string, options?: { readonly scope?: string }): Promise<Decision>;
  /** Resolves when every use that was accepted so far has been noted, or could not be. */
  settled(): Promise<void>;
}

/**
 * Takes a pool of its own, never a host's transaction: an activation must not be rolled back after the answer.
 */
export function createAuthenticator(options: { readonly db: Database }): Authenticator {
  const { db } = options;
  const notes = new Set<Promise<void>>();

  function note(publicId: string): void {
    // The answer does not wait for it, and a use that cannot be noted is still a use.
    const written = db
      .transaction((tx) => recordUse(tx, publicId))
      .catch(() => undefined)
      .finally(() => notes.delete(written));
    notes.add(written);
  }

  return {
    async authenticate(token, { scope } = {}) {
      try {
        const looked = await decide(db, token, scope ?? null);
        if (!looked.decision.ok || looked.publicId === null) return looked.decision;
        if (looked.pending) return (await useToken(db, token, scope ?? null)).decision;
        if (looked.stale) note(looked.publicId);
        return looked.decision;
      } catch {
        return { ok: false, code: "unavailable" };
      }
    },
    async settled() {
      await Promise.all(notes);
    },
  };
}
