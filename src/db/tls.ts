import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { isIP } from "node:net";
import { MidctlError } from "../domain/errors.ts";
import { refuseUrl } from "./refuse-url.ts";

/** How a connection is encrypted, and what the server has to prove. */
export interface Tls {
  /** PEM of the authorities to trust instead of the well-known ones. */
  readonly ca: string | null;
  /** Whether the certificate has to be made out for the host, or for its address where the URL names one. */
  readonly checkName: boolean;
  /** What this side shows, PEM. */
  readonly client: { readonly certificate: string; readonly key: string } | null;
}

/** What a URL or a service says about encryption. */
export interface TlsWords {
  readonly sslmode: string | null;
  readonly sslrootcert: string | null;
  readonly sslcert: string | null;
  readonly sslkey: string | null;
}

/**
 * On and fully verified unless the host is this machine; weaker by `sslmode=verify-ca` and `disable` alone. `require`
 * verifies too: libpq's own does not, which nobody expects of the word.
 * @throws MidctlError `usage`
 */
export function readTls(local: boolean, words: TlsWords): Tls | null {
  const { sslmode: mode } = words;
  switch (mode) {
    case null:
      return local && words.sslrootcert === null && words.sslcert === null ? null : verified(words, true);
    case "disable":
      return null;
    case "require":
    case "verify-full":
      return verified(words, true);
    case "verify-ca":
      return verified(words, false);
    default:
      throw refuseUrl(
        `sslmode=${JSON.stringify(mode)} would allow an unencrypted or unverified connection silently, or is unknown`,
        "Use sslmode=verify-full, or sslmode=disable where the network itself is trusted.",
      );
  }
}

function verified(words: TlsWords, checkName: boolean): Tls {
  const { sslrootcert } = words;
  return {
    ca: sslrootcert === null || sslrootcert === "system" ? null : readPem("sslrootcert", sslrootcert),
    checkName,
    client: readClient(words),
  };
}

function readClient({ sslcert, sslkey }: TlsWords): Tls["client"] {
  if (sslcert === null && sslkey === null) return null;
  if (sslcert === null || sslkey === null) throw refuseUrl("sslcert and sslkey go together", "Name both.");
  return { certificate: readPem("sslcert", sslcert), key: readPem("sslkey", sslkey) };
}

function readPem(parameter: "sslrootcert" | "sslcert" | "sslkey", path: string): string {
  let descriptor: number | null = null;
  try {
    descriptor = openSync(path, "r");
    if (parameter === "sslkey") checkPrivate(descriptor);
    return readFileSync(descriptor, "utf8");
  } catch (error) {
    if (error instanceof MidctlError) throw error;
    throw refuseUrl(
      `the file that ${parameter} names cannot be read (${(error as NodeJS.ErrnoException).code})`,
      "Check its path and mode.",
    );
  } finally {
    if (descriptor !== null) closeSync(descriptor);
  }
}

/** libpq's rule: a key is its owner's alone; one of root's may be read by a group. */
function checkPrivate(descriptor: number): void {
  const { uid, mode } = fstatSync(descriptor);
  if ((mode & (uid === 0 ? 0o037 : 0o077)) === 0) return;
  throw refuseUrl("the key that sslkey names can be read by other users", "chmod 600 the key.");
}

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

/**
 * Asks the server for encryption and takes it up.
 * @throws MidctlError `unavailable` where it offers none: nothing goes out in plain text instead
 */
export async function encrypt(
  socket: Socket,
  host: string,
  tls: Tls,
  waitFor: <T>(socket: Socket, event: string) => Promise<T>,
): Promise<Socket> {
  const { checkServerIdentity, connect: connectTls, createSecureContext } = await import("node:tls");
  socket.write(SSL_REQUEST);
  const answer = await waitFor<Buffer>(socket, "data");
  // Exactly one byte: whatever came with it was put there by somebody before encryption began (CVE-2021-23222).
  if (answer.length !== 1 || answer[0] !== 0x53) {
    throw new MidctlError(
      "unavailable",
      "The database server does not offer an encrypted connection, or somebody in between withholds it; nothing was sent.",
      {
        hint: "Switch TLS on at the server (ssl = on), or say sslmode=disable where the network itself is trusted.",
      },
    );
  }
  const encrypted = connectTls({
    socket,
    host,
    secureContext: contextOf(tls, createSecureContext),
    ...(isIP(host) ? {} : { servername: host }),
    // Said, or an environment variable of Node's would decide.
    rejectUnauthorized: true,
    checkServerIdentity: tls.checkName ? checkServerIdentity : () => undefined,
  });
  await waitFor(encrypted, "secureConnect");
  return encrypted;
}

function contextOf({ ca, client }: Tls, create: typeof import("node:tls").createSecureContext) {
  try {
    return create({
      ...(ca === null ? {} : { ca }),
      ...(client === null ? {} : { cert: client.certificate, key: client.key }),
    });
  } catch {
    // OpenSSL's words may quote the file.
    throw refuseUrl(
      "what sslrootcert, sslcert or sslkey name is not PEM, or certificate and key do not belong together",
      "Check the files with openssl; a key with a passphrase cannot be used.",
    );
  }
}
