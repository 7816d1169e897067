import type { Tx } from "../db/database.ts";
import type { ForgottenLimit } from "../domain/forgotten-limits.ts";
import { formatToken } from "../domain/reference.ts";
import { shellWord } from "../domain/shell-word.ts";
import { findApproval } from "../repository/approval.ts";
import { readEnvironment } from "../repository/environment.ts";
import { readAdoptedBeyond, readLiveTokensOf, readRolesOf } from "../repository/limits.ts";
import { readServer } from "../repository/overview.ts";
import { readCredentialStandings, readIdentityStandings } from "../repository/standing.ts";
import { readLegacyTokens } from "../repository/token.ts";

/** What had narrowed anybody's reach and no command of midctl's own accord does again. */
export interface OpenLimit {
  /** The entry that decided it, its index, action and time. */
  readonly entry: number;
  readonly action: string;
  readonly at: string;
  /** In a sentence without its stop: what is so, because it was forgotten. */
  readonly says: string;
  /** The command that does it again; null where none of midctl's does. */
  readonly mend: string | null;
  readonly state: "open" | "done";
}

/** What is open of these, by what the database says now. */
export async function readLimits(db: Tx, limits: readonly ForgottenLimit[]): Promise<OpenLimit[]> {
  const found: OpenLimit[] = [];
  const isProtected = limits.length > 0 && (await readEnvironment(db))?.protected === true;
  for (const limit of limits) {
    const { entry, action, at } = limit;
    const { open, says, mend } = await standingOf(db, limit);
    // Where it is protected whoever asks signs that.
    const signed =
      isProtected && mend !== null && limit.what !== "approval"
        ? `${mend.replaceAll(AND, ` --key KEY${AND}`)} --key KEY`
        : mend;
    found.push({ entry, action, at, says, mend: signed, state: open ? "open" : "done" });
  }
  return found;
}

interface Standing extends Pick<OpenLimit, "says" | "mend"> {
  readonly open: boolean;
}

async function standingOf(db: Tx, limit: ForgottenLimit): Promise<Standing> {
  switch (limit.what) {
    case "grant": {
      const more = (await readRolesOf(db, limit.name)).filter((role) => !limit.roles.includes(role));
      const options = more.map((role) => `--role ${role}`).join(" ");
      return {
        open: more.length > 0,
        says: `the database role ${limit.name} has again the rights of ${more.join(", ") || "what was taken from it"}`,
        mend: `midctl db grant --revoke ${options} ${shellWord(limit.name)}`,
      };
    }
    case "approval": {
      const status = (await findApproval(db, limit.id))?.status ?? null;
      return {
        open: status === "open" || status === "approved",
        says: `${limit.id}, which was ${USED[limit.action] ?? "carried out"}, is ${status ?? "not known"} here`,
        mend: `midctl approval cancel ${limit.id}`,
      };
    }
    case "protection":
      return {
        open: (await readEnvironment(db))?.protected === false,
        says: "the environment is not protected any more: nothing here needs an approval",
        // Only here it is not protected yet.
        mend: "midctl db protect --key KEY",
      };
    case "move": {
      const movedTo = (await readEnvironment(db))?.movedTo ?? null;
      return {
        open: movedTo === null,
        says: `the database had moved to ${limit.place}, and this one is open again: whoever uses it does not see what is done there`,
        mend: null,
      };
    }
    case "workspace": {
      const live = await readLiveTokensOf(db, limit.id);
      const refs = live.map(formatToken).join(" ");
      return {
        open: live.length > 0,
        says: `the workspace ${limit.id}, which was deleted, is there again, with legacy tokens that work`,
        mend: live.length === 0 ? null : `midctl revoke ${refs}`,
      };
    }
    case "sunset": {
      const tokens = (await readLegacyTokens(db, limit.tokens)).filter(
        ({ effectiveStatus, expiresAt }) =>
          effectiveStatus === "active" && (expiresAt === null || expiresAt > limit.endsAt),
      );
      // No sunset reaches those that somebody has adopted since.
      const adopted = (await readAdoptedBeyond(db, limit.tokens, limit.endsAt)).map(formatToken);
      const refs = tokens.map(({ publicId }) => formatToken(publicId));
      const count = tokens.length + adopted.length;
      const isPast = Date.parse(limit.endsAt) <= (await readServer(db)).clock;
      const ended = isPast ? [...refs, ...adopted] : adopted;
      const commands = [
        ...(isPast || refs.length === 0 ? [] : [`midctl token sunset --after ${limit.endsAt}`]),
        ...(ended.length === 0 ? [] : [`midctl revoke ${ended.join(" ")}`]),
      ];
      return {
        open: count > 0,
        says: `${count} legacy token${count === 1 ? "" : "s"} would end later than ${limit.endsAt}${adopted.length === 0 ? "" : `, of which ${adopted.join(" ")} ${adopted.length === 1 ? "was" : "were"} adopted since`}`,
        mend: commands.join(AND),
      };
    }
    case "adoption": {
      const [credential] = await readCredentialStandings(db, [limit.token]);
      const [token] = await readLegacyTokens(db, [limit.token]);
      const [identity] = await readIdentityStandings(db, [limit.slug]);
      const ref = formatToken(limit.token);
      const into =
        identity === undefined
          ? `--slug ${limit.slug} --owner ${shellWord(limit.owner ?? "OWNER")}`
          : `--identity ${limit.slug}`;
      if (credential !== undefined && credential.identity !== limit.slug) {
        return {
          open: true,
          says: `${ref}, which ${limit.slug} had adopted, is a credential of ${credential.identity}`,
          mend: `midctl revoke ${ref}`,
        };
      }
      return {
        open: credential === undefined && token?.effectiveStatus === "active",
        says: `${ref}, which ${limit.slug} had adopted, is a legacy token again, that pausing or ending ${limit.slug} does not reach`,
        mend: `midctl identity adopt ${ref} ${into} --name ${shellWord(limit.name)}`,
      };
    }
  }
}

/** Between two commands. */
const AND = " && ";

const USED: Readonly<Record<string, string>> = {
  "approval.reject": "rejected",
  "approval.cancel": "cancelled",
  "approval.supersede": "superseded",
};
