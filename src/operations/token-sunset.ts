import type { Database, Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import type { End } from "../domain/instant.ts";
import { endLegacyTokens, readSunset, type Sunset } from "../repository/token.ts";
import { change, type Request } from "./change.ts";

export interface SunsetDone {
  readonly changed: boolean;
  /** RFC 3339. */
  readonly endsAt: string;
  /** Legacy tokens that end then and had no end, or a later one. */
  readonly ended: number;
  /** Those that end by then anyway. */
  readonly sooner: number;
  /** Tokens in force with a machine identity and no credential: they authenticate nobody, and were left as they are. */
  readonly refused: number;
}

/** What a sunset would come to, before anybody is asked. Throws `usage` for an end that is not in the future. */
export async function previewSunset(db: Tx, end: End): Promise<Sunset> {
  const sunset = await readSunset(db, end);
  if (sunset !== null) return sunset;
  throw new MidctlError(
    "usage",
    `${"at" in end ? end.at : "That"} is not in the future of the database's clock; nothing was changed.`,
    {
      hint: "Give a later --after. To end a token now: midctl revoke at_…",
    },
  );
}

/**
 * Ends every legacy token in force that has no end, or a later one, at that moment. What ends sooner stays as it is, so
 * repeating it changes nothing. Tokens that the host makes later are not touched. Throws `usage` as `previewSunset`.
 */
export function sunsetTokens(db: Database, request: Request, end: End): Promise<SunsetDone> {
  return change(db, request, async (tx) => {
    const { endsAt, sooner, refused } = await previewSunset(tx, end);
    const ended = await endLegacyTokens(tx, endsAt);
    return { changed: ended > 0, endsAt, ended, sooner, refused };
  });
}
