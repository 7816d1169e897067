import { readFileSync } from "node:fs";
import { connect as connectPlain, isIP, type Socket } from "node:net";
import { MidctlError } from "../domain/errors.ts";
import { toMidctlError } from "./failure.ts";

/** Where a server is: a URL, or the unix socket of a server of our own. */
export type PostgresTarget =
  | { readonly url: string }
  | { readonly socketDir: string; readonly port: number; readonly user: string; readonly database: string };

/** A target taken apart: everything that a connection needs to know. */
export interface Endpoint {
  /** A directory (unix socket) or a host name or address. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string | null;
  readonly database: string;
  readonly tls: Tls | null;
  /** Seconds. */
  readonly connectTimeout: number;
  readonly applicationName: string | null;
}

interface Tls {
  /** PEM of the authorities to trust instead of the well-known ones. */
  readonly ca: string | null;
  readonly checkName: boolean;
}

const DEFAULT_CONNECT_TIMEOUT = 10;

/**
 * Takes a target apart. Of a URL's parameters it knows `host` (a socket directory), `port` and `user`, `sslmode`,
 * `sslrootcert`, `connect_timeout` (seconds) and `application_name`, and refuses the rest: an ignored
 * `channel_binding=require` would promise what is not kept. TLS is on and the certificate verified unless the host is
 * this machine; `sslmode=require` verifies too.
 * @throws MidctlError `usage`; its message never holds the URL.
 */
export function resolveTarget(target: PostgresTarget): Endpoint {
  if ("socketDir" in target) {
    return {
      host: target.socketDir,
      port: target.port,
      user: target.user,
      password: null,
      database: target.database,
      tls: null,
      connectTimeout: DEFAULT_CONNECT_TIMEOUT,
      applicationName: null,
    };
  }
  const url = parseUrl(target.url);
  for (const name of url.searchParams.keys()) {
    if (!KNOWN_PARAMETERS.has(name)) {
      throw refuseUrl(
        `its parameter ${JSON.stringify(name)} is not supported`,
        `Known are ${[...KNOWN_PARAMETERS].join(", ")}.`,
      );
    }
  }
  const host = url.searchParams.get("host") ?? decode(url.hostname.replace(/^\[|\]$/g, ""));
  const user = url.searchParams.get("user") ?? decode(url.username);
  const database = decode(url.pathname.replace(/^\//, ""));
  if (host === "" || host === NO_HOST) throw refuseUrl("it names no host");
  if (user === "") throw refuseUrl("it names no user");
  return {
    host,
    port: readPort(url.searchParams.get("port") ?? url.port),
    user,
    password: decode(url.password) || process.env.PGPASSWORD || null,
    database: database === "" ? user : database,
    tls: readTls(host, url.searchParams.get("sslmode"), url.searchParams.get("sslrootcert")),
    connectTimeout: readTimeout(url.searchParams.get("connect_timeout")),
    applicationName: url.searchParams.get("application_name"),
  };
}

const KNOWN_PARAMETERS = new Set([
  "sslmode",
  "sslrootcert",
  "host",
  "port",
  "user",
  "connect_timeout",
  "application_name",
]);

/** Stands where `postgres://user@/database?host=/run/pg` leaves the host out, which URL does not accept. */
const NO_HOST = "host.invalid";

function parseUrl(text: string): URL {
  const complete = text.replace(/^(postgres(?:ql)?:\/\/[^/?#]*@)(?=[/?#]|$)/, `$1${NO_HOST}`);
  const url = URL.canParse(complete) ? new URL(complete) : null;
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol)) {
    throw refuseUrl("it is not of the form postgres://user:password@host:port/database");
  }
  return url;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw refuseUrl("a percent sign in it encodes nothing");
  }
}

function refuseUrl(
  why: string,
  hint = "Percent-encode special characters in user and password.",
): MidctlError {
  return new MidctlError("usage", `The database URL cannot be used: ${why}.`, { hint });
}

function readPort(text: string): number {
  if (text === "") return 5432;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw refuseUrl("its port is none");
  return port;
}

function readTimeout(text: string | null): number {
  if (text === null) return DEFAULT_CONNECT_TIMEOUT;
  const seconds = Number(text);
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > 3600) {
    throw refuseUrl("its connect_timeout is not a number of seconds from 1 to 3600");
  }
  return seconds;
}

function readTls(host: string, mode: string | null, rootCertificate: string | null): Tls | null {
  const verified = { ca: readAuthority(rootCertificate), checkName: true };
  switch (mode) {
    case null:
      return isLocal(host) && rootCertificate === null ? null : verified;
    case "disable":
      return null;
    case "require":
    case "verify-full":
      return verified;
    case "verify-ca":
      return { ...verified, checkName: false };
    default:
      throw refuseUrl(
        `sslmode=${JSON.stringify(mode)} would allow an unencrypted or unverified connection silently, or is unknown`,
        "Use sslmode=verify-full, or sslmode=disable where the network itself is trusted.",
      );
  }
}

function readAuthority(path: string | null): string | null {
  if (path === null || path === "system") return null;
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw refuseUrl(
      `the file that sslrootcert names cannot be read (${(error as NodeJS.ErrnoException).code})`,
      "Check its path and mode.",
    );
  }
}

function isLocal(host: string): boolean {
  return host.startsWith("/") || host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/**
 * Opens the byte stream to a server: connected, and encrypted where the endpoint wants it.
 * @throws MidctlError `unavailable`
 */
export async function openSocket(endpoint: Endpoint): Promise<Socket> {
  const socket = endpoint.host.startsWith("/")
    ? connectPlain(`${endpoint.host}/.s.PGSQL.${endpoint.port}`)
    : connectPlain({ host: endpoint.host, port: endpoint.port, noDelay: true });
  const deadline = setTimeout(
    () => socket.destroy(Object.assign(new Error(), { code: "ETIMEDOUT" })),
    endpoint.connectTimeout * 1000,
  );
  try {
    await waitFor(socket, "connect");
    return endpoint.tls === null ? socket : await encrypt(socket, endpoint.host, endpoint.tls);
  } catch (error) {
    socket.destroy();
    throw toMidctlError(error);
  } finally {
    clearTimeout(deadline);
  }
}

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

async function encrypt(socket: Socket, host: string, tls: Tls): Promise<Socket> {
  const { checkServerIdentity, connect: connectTls } = await import("node:tls");
  socket.write(SSL_REQUEST);
  const answer = await waitFor<Buffer>(socket, "data");
  // Exactly one byte: whatever came with it was put there by somebody before encryption began (CVE-2021-23222).
  if (answer.length !== 1 || answer[0] !== 0x53) {
    throw new MidctlError("unavailable", "The database server does not offer an encrypted connection.", {
      hint: "Switch TLS on at the server, or say sslmode=disable where the network itself is trusted.",
    });
  }
  const encrypted = connectTls({
    socket,
    host,
    ...(isIP(host) ? {} : { servername: host }),
    ...(tls.ca === null ? {} : { ca: tls.ca }),
    checkServerIdentity: tls.checkName ? checkServerIdentity : () => undefined,
  });
  await waitFor(encrypted, "secureConnect");
  return encrypted;
}

function waitFor<T>(socket: Socket, event: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const onClose = () => settle(() => reject(Object.assign(new Error(), { code: "ECONNRESET" })));
    const onError = (error: Error) => settle(() => reject(error));
    const onEvent = (value: T) => settle(() => resolve(value));
    function settle(finish: () => void): void {
      socket.off("close", onClose).off("error", onError).off(event, onEvent);
      finish();
    }
    socket.on("close", onClose).on("error", onError).on(event, onEvent);
  });
}
