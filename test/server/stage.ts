import { connect } from "node:net";
import type { Database } from "../../src/db/database.ts";
import { type HostIssuance, issueCredential } from "../../src/index.ts";
import { type AuthenticatorOptions, createAuthenticator } from "../../src/operations/authenticate.ts";
import { formatAddress } from "../../src/server/address.ts";
import { type RunningServer, type ServeOptions, startServer } from "../../src/server/serve.ts";
import { postgresDatabases, type TestDatabase } from "../support/databases.ts";

/** A server of one test file's own, on a database of its own, in this process. */
export interface Stage {
  readonly database: TestDatabase;
  readonly db: Database;
  readonly server: RunningServer;
  readonly url: string;
  readonly port: number;
  /** The access log so far; whole after `stop`. */
  readonly log: () => string;
  /** What the server reported of itself. */
  readonly reports: unknown[];
  /** Issues a credential to a new identity and returns its secret and `mc_…`. */
  issue(slug: string, more?: Issuing): Promise<{ token: string; id: string }>;
  /** A request with this bearer. */
  ask(path: string, token?: string | null, init?: RequestInit): Promise<Response>;
  /** Stops the server and drops the database. */
  dispose(): Promise<void>;
}

type Spec = Exclude<HostIssuance["identity"], string>;
interface Issuing extends Partial<Omit<HostIssuance, "identity" | "actor">> {
  readonly identity?: Partial<Spec>;
}

export interface StageOptions extends Partial<Pick<ServeOptions, "limits" | "address">> {
  readonly database?: TestDatabase;
  readonly authenticator?: Omit<AuthenticatorOptions, "db">;
}

export async function openStage(options: StageOptions = {}): Promise<Stage> {
  const database = options.database ?? (await createDatabase());
  const { db } = database;
  let log = "";
  const reports: unknown[] = [];
  const server = await startServer({
    address: options.address ?? { kind: "tcp", host: "127.0.0.1", port: 0 },
    db,
    authenticator: createAuthenticator({ db, ...options.authenticator }),
    version: "0.0.0-test",
    log: (lines) => {
      log += lines;
    },
    report: (error) => reports.push(error),
    now: () => Date.now(),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  const url = formatAddress(server.address);
  return {
    database,
    db,
    server,
    url,
    port: server.address.kind === "tcp" ? server.address.port : 0,
    log: () => log,
    reports,
    issue: (slug, more) => issue(db, slug, more),
    ask: (path, token, init = {}) => {
      const headers = new Headers(init.headers);
      if (typeof token === "string") headers.set("authorization", `Bearer ${token}`);
      return fetch(`${url}${path}`, { ...init, headers });
    },
    async dispose() {
      await server.stop();
      await database.dispose();
    },
  };
}

export async function createDatabase(): Promise<TestDatabase> {
  const [newest] = postgresDatabases();
  if (newest === undefined) throw new Error("no PostgreSQL server");
  return newest.create();
}

export async function issue(
  db: Database,
  slug: string,
  { identity, ...more }: Issuing = {},
): Promise<{ token: string; id: string }> {
  const { token, credential } = await db.transaction((tx) =>
    issueCredential(tx, {
      actor: "host",
      ...more,
      identity: {
        slug,
        kind: "service",
        provider: null,
        threadId: null,
        owner: "platform",
        displayName: null,
        labels: null,
        parent: null,
        workspace: null,
        expiresIn: null,
        idleTtl: null,
        ...identity,
      },
    }),
  );
  return { token, id: credential.id };
}

export interface RawAnswer {
  /** null where the connection was closed without a word. */
  readonly status: number | null;
  readonly text: string;
}

/** Sends bytes as they are and returns what came until the server closed, or until `answers` whole answers were there. */
export function sendRaw(port: number, bytes: string | Buffer): Promise<RawAnswer> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    const done = () => {
      socket.destroy();
      const status = /^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1];
      resolve({ status: status === undefined ? null : Number(status), text });
    };
    socket.setEncoding("latin1");
    socket.on("data", (chunk) => {
      text += chunk;
      if (isWhole(text)) done();
    });
    socket.on("close", done).on("error", done);
  });
}

/** One answer with a length, its body included. */
function isWhole(text: string): boolean {
  const head = text.indexOf("\r\n\r\n");
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(text.slice(0, head + 2))?.[1];
  return head >= 0 && length !== undefined && text.length >= head + 4 + Number(length);
}

/** What a bearer can see of an answer, but for what differs each time. */
export async function seenOf(response: Response): Promise<unknown> {
  const headers = [...response.headers].filter(([name]) => name !== "date");
  return { status: response.status, headers, body: await response.text() };
}
