/** Where the secret of an issuance comes from and goes to: stdout, a file, or another machine that keeps it. */
import { randomBytes } from "node:crypto";
import { CommitUnknown } from "../db/failure.ts";
import { MidctlError } from "../domain/errors.ts";
import { type Commitment, createToken, parseCommitment, type Token } from "../domain/token.ts";
import { isIssued, withdrawCredential } from "../operations/credential-issue.ts";
import type { Environment } from "../repository/environment.ts";
import type { VerbContext } from "./context.ts";
import { requestFrom } from "./request.ts";
import { openTokenFile, type TokenFile } from "./token-file.ts";

export interface SecretWish {
  readonly tokenFile: string | undefined;
  readonly commitment: string | undefined;
}

export interface SecretSource {
  readonly commitment: Commitment;
  readonly tokenFile: string | null;
  /** To be shown once, on stdout or in the JSON document; null where a file or another machine has it. */
  readonly shown: string | null;
  /** Runs the change, and takes a new file back where it is certain that nothing was committed. */
  during<T>(issue: () => Promise<T>): Promise<T>;
  /** For the frame: what to do where stdout did not take the secret of this credential. */
  undelivered(credential: Pending): Promise<string>;
}

/** As much of an issued credential as there is to say of one that nobody received. */
interface Pending {
  readonly id: string;
  readonly activationDeadline: string | null;
}

/**
 * Makes or finds the secret. A file is written and synced here, before any row is (SPEC §4); `during` takes it back where
 * nothing comes of it, so nothing may fail in between.
 */
export function openSecret(context: VerbContext, wish: SecretWish, environment: Environment): SecretSource {
  if (wish.tokenFile !== undefined && wish.commitment !== undefined) {
    throw new MidctlError("usage", "--token-file and --commitment exclude each other; nothing was issued", {
      hint: "with a commitment the secret stays on the machine that made it",
    });
  }
  if (environment.protected && wish.tokenFile === undefined && wish.commitment === undefined) {
    throw new MidctlError(
      "usage",
      `the environment ${environment.name} is protected, and its plans are committed to a secret that is there already; nothing was issued`,
      { hint: "--token-file PATH, or --commitment with what `midctl credential prepare` printed" },
    );
  }
  if (wish.commitment !== undefined) return fromCommitment(wish.commitment);
  return wish.tokenFile === undefined
    ? fromStdout(context, environment)
    : fromFile(context, wish.tokenFile, environment);
}

function fromCommitment(text: string): SecretSource {
  const commitment = parseCommitment(text);
  if (commitment === null) {
    throw new MidctlError("usage", "--commitment: this is not a commitment; nothing was issued", {
      hint: "give the one word that `midctl credential prepare` printed, mcc_…",
    });
  }
  return {
    commitment,
    tokenFile: null,
    shown: null,
    during: (issue) => issue(),
    undelivered: async () => "",
  };
}

function fromStdout(context: VerbContext, environment: Environment): SecretSource {
  const token = createToken(environment.kind, randomBytes);
  return {
    commitment: token,
    tokenFile: null,
    shown: context.dryRun ? null : token.text,
    during: (issue) => issue(),
    undelivered: (credential) => withdraw(context, token.publicId, credential),
  };
}

function fromFile(context: VerbContext, path: string, environment: Environment): SecretSource {
  const { file, token } = writeOrFind(path, environment, context.dryRun);
  if (token.environment !== environment.kind) {
    throw new MidctlError(
      "conflict",
      `the file ${path} holds a ${token.environment} token, and this environment is ${environment.kind}; nothing was issued`,
      {
        hint: "give a new --token-file",
      },
    );
  }
  return {
    commitment: token,
    tokenFile: path,
    shown: null,
    async during(issue) {
      try {
        const issued = await issue();
        // Another command may have written the file that was found here, failed, and taken it back meanwhile.
        if (file.existing !== null && !context.dryRun) putBack(path, token);
        return issued;
      } catch (error) {
        if (error instanceof CommitUnknown) {
          throw new MidctlError(
            "unavailable",
            `${error.message} ${path} holds the secret, which is inert unless it was.`,
            {
              hint: "run the same command again: it finds out, and is safe to repeat",
              details: error.details,
              cause: error,
            },
          );
        }
        // The request names the secret, and waits for its approval.
        if (error instanceof MidctlError && error.code === "approval_required") throw error;
        if (await isElsewhere(context, token.hash)) throw error;
        file.discard();
        // Issued between the look and the taking back: either this sees it, or who issued it sees that the file is gone.
        if (file.existing === null && !context.dryRun && (await isElsewhere(context, token.hash)))
          putBack(path, token);
        throw error;
      }
    },
    undelivered: async () => "",
  };
}

/** A new secret on disk, or the one that is there: also where another command was quicker to write it. */
function writeOrFind(
  path: string,
  { kind }: Environment,
  dryRun: boolean,
): { file: TokenFile; token: Token } {
  const file = openTokenFile(path);
  if (file.existing !== null) return { file, token: file.existing };
  const token = createToken(kind, randomBytes);
  if (dryRun) return { file, token };
  try {
    file.write(token);
    return { file, token };
  } catch (error) {
    const again = error instanceof MidctlError && error.code === "conflict" ? openTokenFile(path) : file;
    if (again.existing === null) throw error;
    return { file: again, token: again.existing };
  }
}

/** Writes the file again where it is gone; one that stands there is left alone. */
function putBack(path: string, token: Token): void {
  const file = openTokenFile(path);
  if (file.existing === null) file.write(token);
}

/** Whether another command, which found the file that this one wrote, was faster: then the file is that one's. */
async function isElsewhere(context: VerbContext, hash: string): Promise<boolean> {
  try {
    return await isIssued(await context.database(), hash);
  } catch {
    return false;
  }
}

/** Revokes the pending row of a secret that nobody received; the sentence says what became of it. */
async function withdraw(context: VerbContext, publicId: string, credential: Pending): Promise<string> {
  try {
    const db = await context.database();
    const ended = await withdrawCredential(db, requestFrom(context), publicId);
    return ended ? `${credential.id} was revoked` : `${credential.id} is in use already`;
  } catch {
    return `${credential.id} could not be revoked: whoever has its secret can use it until ${credential.activationDeadline ?? "its expiry"}`;
  }
}
