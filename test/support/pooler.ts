import { spawn } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { chooseOwnAccount, currentAccount, isRoot, spawnIdentity } from "../../src/db/engine/account.ts";
import type { TestServer } from "./launcher.ts";
import { listen } from "./proxy.ts";

/** A pgbouncer in front of a test server: to be used as if it were one. */
export interface Pooler {
  /** As the server's own, but for where it listens. */
  readonly server: TestServer;
  stop(): Promise<void>;
}

/** Debian's, where it is installed (it has no place on PATH for ordinary users); null elsewhere. */
export const PGBOUNCER =
  ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer"].find(existsSync) ?? null;

/**
 * Starts it as Debian ships it, but pooling by transaction: no parameter is ignored, no statement remembered.
 * @param sessions of the server that its clients share
 */
export async function openPooler(
  server: TestServer,
  scratch: string,
  { sessions = 50 }: { readonly sessions?: number } = {},
): Promise<Pooler> {
  if (PGBOUNCER === null) throw new Error("pgbouncer is not installed");
  const account = isRoot() ? chooseOwnAccount() : currentAccount();
  const home = mkdtempSync(join(scratch, "pgbouncer-"));
  if (account.switched) chownSync(home, account.uid, account.gid);
  const port = await findFreePort();
  const settings = join(home, "pgbouncer.ini");
  writeFileSync(
    settings,
    `[databases]
* = host=${server.socketDir} port=${server.port} auth_user=${server.user}
[pgbouncer]
pool_mode = transaction
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir = ${home}
auth_type = trust
auth_file = ${join(home, "users.txt")}
default_pool_size = ${sessions}
max_client_conn = 1000
server_round_robin = 1
`,
  );
  writeFileSync(join(home, "users.txt"), `"${server.user}" ""\n`);
  const child = spawn(PGBOUNCER, [settings], {
    ...(account.switched ? spawnIdentity(account) : {}),
    stdio: ["pipe", "ignore", "pipe"],
  });
  let said = "";
  await new Promise<void>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`pgbouncer ended (${code}): ${said}`)));
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      if (/process up/.test(said)) resolve();
    });
  });
  child.stderr.removeAllListeners("data").resume();
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.unref();
  (child.stderr as Socket).unref();
  return {
    server: { ...server, socketDir: home, port },
    stop: () => {
      child.ref();
      child.kill("SIGKILL");
      return gone;
    },
  };
}

async function findFreePort(): Promise<number> {
  const probe = createServer();
  const port = await listen(probe);
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
