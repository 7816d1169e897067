/** How the secrets of a campaign get to where they are used: into a file each, or to a command. */
import { randomBytes } from "node:crypto";
import { lstatSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { MidctlError } from "../domain/errors.ts";
import { createToken, type Token } from "../domain/token.ts";
import { quote } from "../domain/visible.ts";
import type { Delivery, Destined } from "../operations/campaign/delivery.ts";
import type { Environment } from "../repository/environment.ts";
import { runCommand } from "./command.ts";
import { splitCommand } from "./password-command.ts";
import { openTokenFile } from "./token-file.ts";
import {
  lookAtTokenFile,
  openTokenFileOfRun,
  removeLeftOvers,
  renameTokenFile,
  syncDirectories,
  type TokenFileOfRun,
} from "./token-files.ts";

/**
 * Into the file of each target, which always holds one whole secret: the new one is written beside it, and takes its name in one
 * step once its row is committed. What an interrupted run left there is used again.
 * @param root the directory that no secret leaves, whatever the journal says
 */
export function deliverToFiles(root: string): Delivery {
  const unsettled = new Directories();
  return {
    async prepare(target, campaign, environment) {
      const place = placeOf(target, root);
      unsettled.open(place, root, campaign);
      // Looked for in the order in which it moves: another run may deliver it between the two looks.
      const kept = openBeside(place, campaign);
      // Whatever stands there must be a secret of ours, or nothing: it will be replaced.
      const standing = lookAtTokenFile(place);
      if (standing !== null && `mc_${standing.publicId}` === target.successor) {
        const there = { commitment: openTokenFile(place).existing ?? standing, lasts: true, standing: null };
        return { ...there, deliver: async () => {}, forget: () => {}, discard: () => {} };
      }
      const { token, beside, discard } = await keep(kept, environment);
      // Its name is there only now, and whoever settled meanwhile has not seen it.
      unsettled.add(place);
      return {
        commitment: token,
        lasts: true,
        standing,
        async deliver() {
          if (!renameTokenFile(beside, place, token)) await putBack({ place, standing, token }, campaign);
          unsettled.add(place);
        },
        forget: () => {},
        discard,
      };
    },
    settle: () => unsettled.settle(),
  };
}

/** Whose names have changed and are not on disk yet. */
class Directories {
  readonly #changed = new Set<string>();
  readonly #opened = new Set<string>();

  /** Makes the directory of a file ready for it: there, and without what an earlier run of the campaign left half-written. */
  open(place: string, root: string, campaign: string): void {
    makeDirectories(place, root);
    this.add(place);
    const directory = dirname(place);
    if (this.#opened.has(directory)) return;
    this.#opened.add(directory);
    removeLeftOvers(directory, campaign);
    // An earlier run may have made those on the way, and died before their names were on disk.
    for (let at = directory; at !== root && at !== dirname(at); at = dirname(at)) this.add(at);
  }

  /** @param place a file of the directory */
  add(place: string): void {
    this.#changed.add(dirname(place));
  }

  /** @throws MidctlError `undeliverable` where the disk refuses */
  async settle(): Promise<void> {
    const changed = [...this.#changed];
    // What changes from here on, while these are written, is for the next call.
    this.#changed.clear();
    try {
      await syncDirectories(changed);
    } catch (error) {
      for (const directory of changed) this.#changed.add(directory);
      const { code, path } = error as NodeJS.ErrnoException;
      throw new MidctlError(
        "undeliverable",
        `The directory ${quote(path ?? "")} cannot be synced (${code}), so its new files may not outlast a power failure.`,
      );
    }
  }
}

/** A command that takes secrets, one at a time. */
export interface Taking {
  readonly command: string;
  /** Of the credentials. */
  readonly name: string;
  /** ms */
  readonly patience: number;
}

/**
 * To a command's standard input, a line, one command for each. In its words `{slug}`, `{credential}` and `{name}` stand for
 * themselves; nothing of the secret is in them.
 */
export function deliverToCommand({ command, name, patience }: Taking): Delivery {
  const words = splitCommand(command, "--deliver-exec");
  return {
    async prepare({ slug }, _campaign, environment) {
      const token = makeToken(environment);
      return {
        commitment: token,
        lasts: false,
        standing: null,
        async deliver() {
          const problem = await hand(words, { slug, name, token, patience });
          if (problem === null) return;
          throw new MidctlError(
            "undeliverable",
            `The command for the secret of ${slug} ${problem}; its new credential was revoked, and the old one goes on.`,
          );
        },
        forget: () => {},
        discard: () => {},
      };
    },
    settle: async () => {},
  };
}

/**
 * To a command, and in a file until the journal says that it took it: what has to wait, or must outlast a command that fails.
 * @param root the directory of these files
 */
export function deliverStaged({ command, name, patience }: Taking, root: string): Delivery {
  const unsettled = new Directories();
  const words = splitCommand(command, "--deliver-exec");
  return {
    async prepare(target, campaign, environment) {
      const { slug } = target;
      const place = placeOf(target, root);
      unsettled.open(place, root, campaign);
      const { token, beside, discard } = await keep(openBeside(place, campaign), environment);
      // Its name is there only now, and whoever settled meanwhile has not seen it.
      unsettled.add(place);
      return {
        commitment: token,
        lasts: true,
        standing: null,
        async deliver() {
          const problem = await hand(words, { slug, name, token, patience });
          if (problem === null) return;
          throw new MidctlError(
            "undeliverable",
            `The command for the secret of ${slug} ${problem}; it is kept in ${quote(beside)} until the campaign goes on.`,
          );
        },
        forget: () => rmSync(beside, { force: true }),
        discard,
      };
    },
    settle: () => unsettled.settle(),
  };
}

/** The file beside its place in which a campaign keeps a secret. */
function openBeside(place: string, campaign: string): TokenFileOfRun & { readonly path: string } {
  const path = `${place}.${campaign}`;
  return { ...openTokenFileOfRun(path, campaign), path };
}

/** The secret in it: made now, or by another run of this campaign. */
async function keep(
  file: TokenFileOfRun & { readonly path: string },
  environment: Environment,
): Promise<{ readonly token: Token; readonly beside: string; discard(): void }> {
  const beside = file.path;
  const token = file.existing ?? (await file.write(makeToken(environment)));
  if (token.environment !== environment.kind) throw otherKind(beside, token, environment);
  return {
    token,
    beside,
    discard: () => {
      file.discard();
    },
  };
}

/**
 * Delivers what its file is gone of: the run that made it took it back, and did not see that another one had issued it by then.
 * @throws MidctlError `undeliverable` where something newer stands there by now
 */
async function putBack(
  { place, standing, token }: { place: string; standing: Token | null; token: Token },
  campaign: string,
): Promise<void> {
  const file = openBeside(place, campaign);
  const held = file.existing ?? (await file.write(token));
  const asBefore = lookAtTokenFile(place)?.text === standing?.text;
  if (asBefore && held.text === token.text && renameTokenFile(file.path, place, token)) return;
  file.discard();
  throw new MidctlError(
    "undeliverable",
    `Another run has put a secret into ${quote(place)} meanwhile; this one was not delivered.`,
  );
}

/** Null where the command took it; else what became of it. */
async function hand(
  words: readonly string[],
  { slug, name, token, patience }: Pick<Taking, "name" | "patience"> & { slug: string; token: Token },
): Promise<string | null> {
  const said: Readonly<Record<string, string>> = { slug, credential: `mc_${token.publicId}`, name };
  const [program, ...args] = words.map((word) =>
    word.replace(/\{(slug|credential|name)\}/g, (_, key: string) => said[key] ?? ""),
  );
  const { problem } = await runCommand([program ?? "", ...args], { input: `${token.text}\n`, patience });
  return problem;
}

function makeToken(environment: Environment): Token {
  return createToken(environment.kind, randomBytes);
}

function placeOf({ place, slug }: Destined, root: string): string {
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

/**
 * What a template adds to its directory, for us alone, name by name: made through a link, a directory or a secret would come to
 * lie outside.
 */
function makeDirectories(place: string, root: string): void {
  let directory = root;
  for (const name of relative(root, dirname(place)).split(sep).filter(Boolean)) {
    directory = join(directory, name);
    try {
      makeDirectory(directory);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new MidctlError(
        "undeliverable",
        `The directory ${quote(directory)} cannot be made (${code}); nothing was issued.`,
      );
    }
    if (lstatSync(directory).isDirectory()) continue;
    throw new MidctlError(
      "conflict",
      `${quote(directory)} is no directory of its own but a link or a file, and no secret leaves ${quote(root)}; nothing was issued.`,
    );
  }
}

/** Also where something stands there. */
function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}
