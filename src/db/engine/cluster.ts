import { spawn } from "node:child_process";
import { chmodSync, lchownSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Account, actAs, chooseNamedAccount, hasPasswdEntry, spawnIdentity } from "./account.ts";
import { ENGINE_USER } from "./location.ts";
import { type Binaries, scrubbedEnvironment } from "./native.ts";

export interface ClusterOptions {
  readonly binaries: Binaries;
  /** Must not exist; its parent belongs to the account and can be reached by every user. */
  readonly dataDir: string;
  readonly account: Account;
  /** The bootstrap superuser; the embedded engine's is `midctl`. */
  readonly user?: string;
  /** Whether to sync it to the disk; a throw-away cluster needs none. */
  readonly sync?: boolean;
}

/** Why `initdb` made no cluster. */
export class ClusterFailure extends Error {
  override readonly name = "ClusterFailure";
  /** `nameless`: the account has no passwd entry, and nobody else may be asked. */
  readonly reason: "nameless" | "failed";
  readonly log: string;

  constructor(reason: ClusterFailure["reason"], log: string) {
    super(`initdb made no cluster (${reason})`);
    this.reason = reason;
    this.log = log;
  }
}

/**
 * Makes a data directory with `initdb`: C locale, UTF-8, trust on the socket alone (the directory it lies in is 0700),
 * 1 MB log segments, so that an idle store stays small.
 * @throws ClusterFailure
 */
export async function makeCluster(options: ClusterOptions): Promise<void> {
  const { account, dataDir } = options;
  if (!account.switched || hasPasswdEntry(account.uid)) {
    actAs(account, () => mkdirSync(dataDir, { mode: 0o700 }));
    return runInitdb(options, account);
  }
  const named = chooseNamedAccount();
  if (named === null) throw new ClusterFailure("nameless", "");
  await lend(dataDir, account, named, () => runInitdb(options, named));
}

async function runInitdb(options: ClusterOptions, as: Account): Promise<void> {
  const { binaries, dataDir } = options;
  const args = ["-D", dataDir, "-U", options.user ?? ENGINE_USER, "-A", "trust", "-E", "UTF8", "--locale=C"];
  args.push("--wal-segsize=1");
  if (binaries.major >= 17) args.push("--locale-provider=builtin", "--builtin-locale=C");
  if (options.sync === false) args.push("--no-sync");
  const { code, output } = await run(binaries, args, as);
  if (code === 0) return;
  const nameless = /could not look up effective user ID|user does not exist/.test(output);
  throw new ClusterFailure(nameless ? "nameless" : "failed", output);
}

/** Lets a user of the passwd file fill a new directory of the account's, then hands all of it to the account. */
async function lend(dir: string, account: Account, to: Account, fill: () => Promise<void>): Promise<void> {
  const parent = dirname(dir);
  const mode = statSync(parent).mode & 0o777;
  actAs(account, () => {
    mkdirSync(dir, { mode: 0o700 });
    chmodSync(parent, mode | 0o011);
  });
  try {
    lchownSync(dir, to.uid, to.gid);
    await fill();
  } finally {
    handOver(dir, account);
    actAs(account, () => chmodSync(parent, mode));
  }
}

function handOver(path: string, account: Account): void {
  lchownSync(path, account.uid, account.gid);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const below = join(path, entry.name);
    if (entry.isDirectory()) handOver(below, account);
    else lchownSync(below, account.uid, account.gid);
  }
}

async function run(
  binaries: Binaries,
  args: readonly string[],
  as: Account,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(binaries.initdb, args, {
    cwd: "/",
    env: scrubbedEnvironment(binaries),
    stdio: ["ignore", "pipe", "pipe"],
    ...spawnIdentity(as),
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  return new Promise((resolve) => {
    child.once("error", (error) => resolve({ code: null, output: error.message }));
    child.once("close", (code) => resolve({ code, output }));
  });
}
