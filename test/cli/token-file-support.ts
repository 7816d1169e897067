import { randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { vi } from "vitest";
import { createToken, type Token } from "../../src/domain/token.ts";

/** A user that is neither root nor us. */
export const STRANGER = 54321;

export const isRoot = process.geteuid?.() === 0;

export const makeToken = (): Token => createToken("test", randomBytes);

export const makeDirectory = (): string => fs.mkdtempSync(path.join(os.tmpdir(), "token-file-"));

export function fail(errno: string): never {
  throw Object.assign(new Error(`${errno}: injected`), { code: errno });
}

export function refuseDirectorySync(errno: string): void {
  const real = fs.fsyncSync;
  vi.spyOn(fs, "fsyncSync").mockImplementation((fd) => {
    if (fs.fstatSync(fd).isDirectory()) fail(errno);
    real(fd);
  });
}
