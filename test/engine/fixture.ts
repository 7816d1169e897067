import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Account, chooseOwnAccount, currentAccount, isRoot } from "../../src/db/engine/account.ts";
import { findBinaries } from "../../src/db/engine/binaries.ts";
import { thisHost } from "../../src/db/engine/host.ts";
import { type Binaries, readyBinaries } from "../../src/db/engine/native.ts";

/** A new directory that any user may pass through, which the servers' user may not own. */
export function makePlace(prefix = "midctl-engine-"): string {
  const dir = mkdtempSync(join(tmpdir(), prefix));
  chmodSync(dir, 0o755);
  return dir;
}

export function removePlace(dir: string): void {
  rmSync(dir, { recursive: true, force: true });
}

/** Who servers run as in these tests: ourselves, or the number that root chooses. */
export function serverAccount(): Account {
  return isRoot() ? chooseOwnAccount() : currentAccount();
}

/** The PostgreSQL of npm's package, ready for that account. */
export function packagedBinaries(cacheDir: string): Binaries {
  const [candidate] = findBinaries(thisHost()).candidates;
  if (candidate === undefined) throw new Error("no PostgreSQL for this platform");
  return readyBinaries(candidate, cacheDir, serverAccount());
}
