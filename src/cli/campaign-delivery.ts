/** How the secrets of a campaign get to where they are used: into a file each, or to a command. */
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { MidctlError } from "../domain/errors.ts";
import { createToken, type Token } from "../domain/token.ts";
import { quote } from "../domain/visible.ts";
import type { Delivery } from "../operations/campaign/run.ts";
import type { CampaignTarget } from "../repository/campaign.ts";
import type { Environment } from "../repository/environment.ts";
import { runCommand } from "./command.ts";
import { splitCommand } from "./password-command.ts";
import { openTokenFile, renameTokenFile } from "./token-file.ts";

/**
 * Into the file of each target, which always holds one whole secret: the new one is written beside it, and takes its name in one
 * step once its row is committed. What an interrupted run left there is used again.
 * @param root the directory that no secret leaves, whatever the journal says
 */
export function deliverToFiles(root: string): Delivery {
  return {
    prepare(target, campaign, environment) {
      const place = placeOf(target, root);
      makeDirectory(place);
      // Whatever stands there must be a secret of ours, or nothing: it will be replaced.
      const standing = openTokenFile(place);
      if (standing.existing !== null && `mc_${standing.existing.publicId}` === target.successor) {
        const there = { commitment: standing.existing, lasts: true };
        return { ...there, deliver: async () => {}, discard: () => {} };
      }
      const beside = `${place}.${campaign}`;
      const file = openTokenFile(beside);
      const token = file.existing ?? makeToken(environment);
      if (token.environment !== environment.kind) throw otherKind(beside, token, environment);
      if (file.existing === null) file.write(token);
      return {
        commitment: token,
        lasts: true,
        deliver: async () => renameTokenFile(beside, place, token),
        discard: () => {
          file.discard();
        },
      };
    },
  };
}

/**
 * To a command's standard input, a line, one command for each. In its words `{slug}`, `{credential}` and `{name}` stand for
 * themselves; nothing of the secret is in them.
 * @param patience ms
 */
export function deliverToCommand(command: string, name: string, patience: number): Delivery {
  const words = splitCommand(command, "--deliver-exec");
  return {
    prepare(target, _campaign, environment) {
      const token = makeToken(environment);
      const said: Readonly<Record<string, string>> = {
        slug: target.slug,
        credential: `mc_${token.publicId}`,
        name,
      };
      const [program, ...args] = words.map((word) =>
        word.replace(/\{(slug|credential|name)\}/g, (_, key: string) => said[key] ?? ""),
      );
      return {
        commitment: token,
        lasts: false,
        async deliver() {
          const { problem } = await runCommand([program ?? "", ...args], {
            input: `${token.text}\n`,
            patience,
          });
          if (problem === null) return;
          throw new MidctlError(
            "undeliverable",
            `The command for the secret of ${target.slug} ${problem}; its new credential was revoked, and the old one goes on.`,
          );
        },
        discard: () => {},
      };
    },
  };
}

function makeToken(environment: Environment): Token {
  return createToken(environment.kind, randomBytes);
}

function placeOf({ place, slug }: CampaignTarget, root: string): string {
  if (place !== null && resolve(place) === place && place.startsWith(root === "/" ? root : `${root}/`))
    return place;
  throw new MidctlError(
    "conflict",
    `The campaign has no file for ${slug} in ${quote(root)}; nothing was issued.`,
  );
}

function otherKind(path: string, token: Token, environment: Environment): MidctlError {
  return new MidctlError(
    "conflict",
    `The file ${path} holds a ${token.environment} token, and this environment is ${environment.kind}; nothing was issued.`,
  );
}

/** What a template adds to its directory, for us alone. */
function makeDirectory(place: string): void {
  const directory = dirname(place);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new MidctlError(
      "undeliverable",
      `The directory ${directory} cannot be made (${code}); nothing was issued.`,
    );
  }
}
