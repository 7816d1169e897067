import { chmodSync, chownSync, copyFileSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chooseOwnAccount, currentAccount, isRoot } from "../../src/db/engine/account.ts";
import { findTestBinaries, HASTY, type Launched, launch } from "./launcher.ts";

/** A file of test/db/tls: `authority.pem` has signed `server` (localhost), `database` (db.example, 192.0.2.7) and `client`. */
export const tlsFile = (name: string): string => fileURLToPath(new URL(`../db/tls/${name}`, import.meta.url));

/**
 * A PostgreSQL with `ssl = on` under the certificate of that name; over TCP it takes encrypted connections alone, from the user
 * `certified` with a client certificate and from `keyed` with a password (neither is there unless made).
 */
export async function launchWithTls(scratch: string, certificate: string): Promise<Launched> {
  const [candidate] = findTestBinaries();
  if (candidate === undefined) throw new Error("no PostgreSQL");
  const account = isRoot() ? chooseOwnAccount() : currentAccount();
  const home = mkdtempSync(join(scratch, "tls-"));
  const own = (path: string): string => {
    chmodSync(path, 0o600);
    if (account.switched) chownSync(path, account.uid, account.gid);
    return path;
  };
  if (account.switched) chownSync(home, account.uid, account.gid);
  const keep = (name: string): string => {
    const path = join(home, name);
    copyFileSync(tlsFile(name), path);
    return own(path);
  };
  const rules = join(home, "pg_hba.conf");
  writeFileSync(
    rules,
    "local all all trust\nhostssl all certified all cert map=tests\nhostssl all keyed all scram-sha-256\nhostssl all all all trust\n",
  );
  const map = join(home, "pg_ident.conf");
  writeFileSync(map, "tests postgres certified\n");
  return launch(candidate, scratch, {
    ...HASTY,
    ssl: "on",
    ssl_cert_file: keep(`${certificate}.pem`),
    ssl_key_file: keep(`${certificate}.key`),
    ssl_ca_file: keep("authority.pem"),
    hba_file: own(rules),
    ident_file: own(map),
  });
}
