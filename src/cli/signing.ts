/** Signs with OpenSSH's own programs: passphrases, agents and hardware keys are theirs, and no private key is read here. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MidctlError } from "../domain/errors.ts";
import { NAMESPACES, RECEIPT_NAMESPACE, type VoteKind } from "../domain/plan.ts";
import { isKeyType, type PublicKey, readPublicKey } from "../domain/ssh-key.ts";
import type { TrustRoot } from "../domain/trust.ts";
import type { Signed } from "../operations/approval/request.ts";
import type { VerbContext } from "./context.ts";
import { readRegularFile } from "./regular-file.ts";

export interface SigningKey {
  /** Whose it is, as the trust root says. */
  readonly principal: string;
  sign(kind: VoteKind, plan: string): Promise<Signed>;
}

const LONGEST = 64 * 1024;

/**
 * A key by its file (private, or public where an agent or a hardware token has the private one), or `agent`: the one key that
 * the agent holds and the trust root knows.
 * @throws MidctlError `usage` for what is no key, `denied` for a key of nobody in allowed_signers
 */
export async function openKey(context: VerbContext, trust: TrustRoot, given: string): Promise<SigningKey> {
  const key = given === "agent" ? await fromAgent(context, trust) : await fromFile(context, given);
  const principal = trust.byKey.get(key.public.blob)?.[0].principal;
  if (principal === undefined) {
    throw new MidctlError(
      "denied",
      `the key ${key.public.fingerprint} is of nobody in allowed_signers; nothing was signed`,
      { hint: "a reviewed commit to the trust directory adds signers" },
    );
  }
  return { principal, sign: (kind, plan) => sign(context, key, NAMESPACES[kind], plan) };
}

/** A key to sign receipts with: whose it is, whoever reads one decides. @throws MidctlError `usage` for what is no key */
export async function openReceiptKey(
  context: VerbContext,
  given: string,
): Promise<{ sign(receipt: string): Promise<Signed> }> {
  const key = given === "agent" ? await fromAgent(context, null) : await fromFile(context, given);
  return { sign: (receipt) => sign(context, key, RECEIPT_NAMESPACE, receipt) };
}

async function sign(context: VerbContext, key: Key, namespace: string, text: string): Promise<Signed> {
  const args = ["-Y", "sign", "-q", "-n", namespace, "-f"];
  const signature = await key.withPath((path) => run(context, "ssh-keygen", [...args, path], text));
  return { signature, fingerprint: key.public.fingerprint };
}

interface Key {
  readonly public: PublicKey;
  withPath<T>(use: (path: string) => Promise<T>): Promise<T>;
}

async function fromFile(context: VerbContext, path: string): Promise<Key> {
  const text = read(path);
  if (/^\S*-cert-v\d+@openssh\.com\s/.test(text)) {
    throw new MidctlError(
      "usage",
      `the file ${path} is a certificate, and certificates are not taken; nothing was signed`,
      {
        hint: "give the key itself: the file without -cert",
      },
    );
  }
  const own = readLine(text) ?? (existsSync(`${path}.pub`) ? readLine(read(`${path}.pub`)) : null);
  const known = own ?? readLine(await run(context, "ssh-keygen", ["-y", "-f", path], ""));
  if (known === null) {
    throw new MidctlError("usage", `the file ${path} is no SSH key that can approve; nothing was signed`, {
      hint: "ssh-keygen -t ed25519 makes one; certificates and DSA are not taken",
    });
  }
  return { public: known, withPath: (use) => use(path) };
}

/** @param trust null: the agent's one key, whoever knows it */
async function fromAgent(context: VerbContext, trust: TrustRoot | null): Promise<Key> {
  if (!hasAgent(context)) {
    throw new MidctlError("usage", "no agent is running (SSH_AUTH_SOCK is not set); nothing was signed", {
      hint: START_AGENT,
    });
  }
  const listed = await run(context, "ssh-add", ["-L"], "");
  const keys = listed
    .split("\n")
    .flatMap((line) => readLine(line) ?? [])
    .filter((key) => trust === null || trust.byKey.has(key.blob));
  const [key, ...others] = keys;
  if (key === undefined || others.length > 0) {
    throw new MidctlError(
      "usage",
      `the agent holds ${key === undefined ? "no key" : `${keys.length} keys`}${trust === null ? "" : " of allowed_signers"}; nothing was signed`,
      {
        hint: key === undefined ? "ssh-add KEY, or give --key FILE" : "give --key with the public key's file",
      },
    );
  }
  return {
    public: key,
    async withPath(use) {
      const dir = mkdtempSync(join(tmpdir(), "midctl-key-"));
      try {
        const path = join(dir, "key.pub");
        writeFileSync(path, `${key.type} ${key.blob}\n`, { mode: 0o600 });
        return await use(path);
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    },
  };
}

function read(path: string): string {
  return readRegularFile(path, LONGEST, "nothing was signed");
}

/** The public key that a line says; null for anything else. */
function readLine(text: string): PublicKey | null {
  const [type = "", base64 = ""] = text.trim().split(/\s+/);
  return isKeyType(type) ? readPublicKey(type, base64) : null;
}

/** What a program of OpenSSH prints. It asks on the terminal itself; off one, what it complains of gets into the error. */
function run(
  context: VerbContext,
  program: "ssh-keygen" | "ssh-add",
  args: readonly string[],
  input: string,
): Promise<string> {
  const asks = context.canAsk();
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["pipe", "pipe", asks ? "inherit" : "pipe"] });
    let output = "";
    let complaint = "";
    child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      if (output.length < LONGEST) output += chunk;
    });
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      if (complaint.length < 1024) complaint += chunk;
    });
    // It may be gone before it has read all.
    child.stdin?.on("error", () => {});
    child.on("error", (error: NodeJS.ErrnoException) => {
      const missing = error.code === "ENOENT";
      reject(
        new MidctlError("usage", `${program} could not be started (${error.code}); nothing was signed`, {
          ...(missing ? { hint: "install OpenSSH's client programs (openssh-client)" } : {}),
        }),
      );
    });
    child.on("close", (code) => {
      if (code === 0) resolve(output);
      else {
        const [said = ""] = complaint.trim().split("\n").slice(-1);
        reject(
          new MidctlError(
            "denied",
            `${program} made no signature (exit ${code}${said === "" ? "" : `: ${said}`}); nothing was changed`,
            adviseOn(complaint, context),
          ),
        );
      }
    });
    child.stdin?.end(input);
  });
}

const START_AGENT = 'eval "$(ssh-agent)", then ssh-add KEY; or --key with the private key\'s file';

function hasAgent({ env }: VerbContext): boolean {
  return (env.SSH_AUTH_SOCK ?? "") !== "";
}

/** What OpenSSH's own words call for. */
function adviseOn(complaint: string, context: VerbContext): { readonly hint?: string } {
  if (/passphrase/i.test(complaint)) {
    return { hint: "a key with a passphrase wants a terminal or an agent: ssh-add KEY, then --key agent" };
  }
  if (/invalid format|error in libcrypto|not a (?:private )?key|is not a .*key/i.test(complaint)) {
    return {
      hint: "that is not a private key: give --key with one, or a public key whose private one an agent holds",
    };
  }
  if (/agent|no private key|no identities/i.test(complaint)) {
    if (!hasAgent(context)) return { hint: `no agent is running: ${START_AGENT}` };
    return { hint: "the agent does not have the private key: ssh-add KEY; ssh-add -l shows what it has" };
  }
  return /permissions|UNPROTECTED/i.test(complaint) ? { hint: "chmod 600 the key file" } : {};
}
