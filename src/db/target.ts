import { connect as connectPlain, isIP, type Socket } from "node:net";
import { toMidctlError } from "./failure.ts";
import { findPassword } from "./passfile.ts";
import { refuseUrl } from "./refuse-url.ts";
import { readService, type Service } from "./service.ts";
import { encrypt, readTls, type Tls } from "./tls.ts";

/** Where a server is: a URL, or the unix socket of a server of our own. */
export type PostgresTarget =
  | {
      readonly url: string;
      /** Where the URL has none; before every other source. */
      readonly password?: string;
    }
  | { readonly socketDir: string; readonly port: number; readonly user: string; readonly database: string };

/** A target taken apart: everything that a connection needs to know. */
export interface Endpoint {
  /** Whether it is a server of our own, with nothing in between. */
  readonly direct: boolean;
  /** A directory (unix socket) or a host name or address. */
  readonly host: string;
  /** Where to connect instead of looking up the host, whose name the certificate has to bear all the same. */
  readonly address: string | null;
  readonly port: number;
  readonly user: string;
  readonly password: string | null;
  readonly database: string;
  readonly tls: Tls | null;
  /** The parameter that makes the way to another machine weaker than verified, or null. */
  readonly weakness: string | null;
  /** Seconds. */
  readonly connectTimeout: number;
  readonly applicationName: string | null;
}

const DEFAULT_CONNECT_TIMEOUT = 10;
const DEFAULT_PORT = 5432;

/**
 * Takes a target apart. Of a URL's parameters it knows libpq's `host` (a socket directory), `hostaddr`, `port`, `user`,
 * `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `connect_timeout` (seconds), `application_name` and `service`, whose own settings the URL's outrank, and
 * refuses the rest: an ignored `channel_binding=require` would promise what is not kept. A password comes from the URL, the
 * service, `PGPASSWORD` or PostgreSQL's password file.
 * @param warn told of a password file that is not used
 * @throws MidctlError `usage`; its message never holds the URL.
 */
export function resolveTarget(
  target: PostgresTarget,
  warn: (text: string) => void = () => undefined,
): Endpoint {
  if ("socketDir" in target) {
    return {
      direct: true,
      host: target.socketDir,
      address: null,
      port: target.port,
      user: target.user,
      password: null,
      database: target.database,
      tls: null,
      weakness: null,
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
  const named = url.searchParams.get("service");
  const service: Service = named === null ? {} : readService(named);
  const say = (name: keyof Service): string | null => url.searchParams.get(name) ?? service[name] ?? null;
  const inUrl = decode(url.hostname.replace(/^\[|\]$/g, ""));
  const host = url.searchParams.get("host") ?? ((inUrl !== NO_HOST && inUrl) || service.host || "");
  const user = url.searchParams.get("user") ?? (decode(url.username) || service.user || "");
  const database = decode(url.pathname.replace(/^\//, "")) || service.dbname || user;
  if (host === "") throw refuseUrl("it names no host");
  if (user === "") throw refuseUrl("it names no user");
  const address = say("hostaddr");
  if (address !== null && isIP(address) === 0) throw refuseUrl("its hostaddr is no IP address");
  const tls = readTls(isLocal(host) && isLocal(address ?? host), {
    sslmode: say("sslmode"),
    sslrootcert: say("sslrootcert"),
    sslcert: say("sslcert"),
    sslkey: say("sslkey"),
  });
  const port = readPort(url.searchParams.get("port") ?? (url.port || service.port || ""));
  return {
    direct: false,
    host,
    address,
    port,
    user,
    password:
      decode(url.password) ||
      target.password ||
      service.password ||
      process.env.PGPASSWORD ||
      findPassword({ host, port, database, user }, warn),
    database,
    tls,
    weakness: tls?.checkName === true || isLocal(address ?? host) ? null : `sslmode=${say("sslmode")}`,
    connectTimeout: readTimeout(say("connect_timeout")),
    applicationName: say("application_name"),
  };
}

/**
 * The parameter that makes the way to another machine weaker than verified, as the URL has it; null for a verified way, and on
 * this machine.
 * @throws MidctlError `usage`
 */
export function findWeakness(target: PostgresTarget): string | null {
  return resolveTarget(target).weakness;
}

/**
 * Which database on which server a target is, as a URL without user, password and parameters of the way there: fit for a log.
 * @throws MidctlError `usage`
 */
export function describeServer(target: PostgresTarget): string {
  const { host, port, database } = resolveTarget(target);
  const name = encodeURIComponent(database);
  const special = port === DEFAULT_PORT ? null : port;
  if (host.startsWith("/")) {
    const directory = host.split("/").map(encodeURIComponent).join("/");
    return `postgres:///${name}?host=${directory}${special === null ? "" : `&port=${special}`}`;
  }
  const at = `${host.includes(":") ? `[${host}]` : host}${special === null ? "" : `:${special}`}`;
  return `postgres://${at}/${name}`;
}

const KNOWN_PARAMETERS = new Set([
  "sslmode",
  "sslrootcert",
  "sslcert",
  "sslkey",
  "host",
  "hostaddr",
  "port",
  "user",
  "connect_timeout",
  "application_name",
  "service",
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

function readPort(text: string): number {
  if (text === "") return DEFAULT_PORT;
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
    : connectPlain({ host: endpoint.address ?? endpoint.host, port: endpoint.port, noDelay: true });
  const deadline = setTimeout(
    () => socket.destroy(Object.assign(new Error(), { code: "ETIMEDOUT" })),
    endpoint.connectTimeout * 1000,
  );
  try {
    await waitFor(socket, "connect");
    return endpoint.tls === null ? socket : await encrypt(socket, endpoint.host, endpoint.tls, waitFor);
  } catch (error) {
    socket.destroy();
    throw toMidctlError(error);
  } finally {
    clearTimeout(deadline);
  }
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
