import { closeSync, existsSync, fsync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { syncDirectory } from "../directory.ts";
import { type Account, actAs } from "./account.ts";
import { type Archive, unpackArchive } from "./archive.ts";
import type { Host } from "./host.ts";

/** Files written before their fsyncs are awaited: below every usual limit on open files (256 on macOS). */
const AT_ONCE = 64;

/** Where a prepared data directory lies below `dist/store`: it fits one platform, one architecture, one major version. */
export function preparedFileName(host: Pick<Host, "platform" | "arch">, major: number): string {
  return `${host.platform}-${host.arch}-${major}/data.br`;
}

/** The prepared data directory for npm's PostgreSQL of that major version, or null where the build made none. */
export function findPrepared(host: Host, major: number): string | null {
  const dir = host.findPreparedDir();
  const file = dir === null ? null : join(dir, preparedFileName(host, major));
  return file !== null && existsSync(file) ? file : null;
}

export function readPrepared(file: string): Promise<Archive> {
  return unpackArchive(readFileSync(file));
}

/**
 * Writes a prepared data directory and syncs it, file by file: `syncfs` is twice as fast on a quiet machine, and took
 * 0.6 s and more right after an `npm ci`, whose writes it has to wait for too.
 * @param dataDir must not exist
 */
export async function writePrepared(archive: Archive, dataDir: string, account: Account): Promise<void> {
  actAs(account, () => {
    mkdirSync(dataDir, { mode: 0o700 });
    for (const path of archive.directories) mkdirSync(join(dataDir, path), { mode: 0o700 });
  });
  for (let at = 0; at < archive.files.length; at += AT_ONCE) {
    const batch = archive.files.slice(at, at + AT_ONCE);
    const open: number[] = [];
    try {
      actAs(account, () => {
        for (const { path, content } of batch) {
          const file = openSync(join(dataDir, path), "wx", 0o600);
          open.push(file);
          if (content.length > 0) writeFileSync(file, content);
        }
      });
      await Promise.all(open.map((file) => promisify(fsync)(file)));
    } finally {
      for (const file of open) closeSync(file);
    }
  }
  actAs(account, () => {
    for (const path of [...archive.directories, "."]) syncDirectory(join(dataDir, path));
  });
}
