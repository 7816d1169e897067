import fs, { existsSync, mkdtempSync, readFileSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, inject, test, vi } from "vitest";
import type { VerbContext } from "../../src/cli/context.ts";
import { openSecret, type SecretSource } from "../../src/cli/secret-source.ts";
import type { Environment } from "../../src/repository/environment.ts";

const ENVIRONMENT: Environment = {
  name: "default",
  named: false,
  kind: "test",
  protected: false,
  databaseId: "",
  movedTo: null,
};

/** As much of a command as a secret needs: a database that says, each time it is asked, whether the secret is issued. */
function contextOf(...issued: boolean[]): VerbContext {
  const query = async () => (issued.shift() === true ? [{ id: "mc_another" }] : []);
  return { dryRun: false, database: async () => ({ query }) } as unknown as VerbContext;
}

let path: string;
beforeEach(() => {
  path = join(mkdtempSync(join(inject("scratch"), "secret-")), "token");
});

afterEach(() => {
  vi.restoreAllMocks();
});

const open = (...issued: boolean[]) =>
  openSecret(contextOf(...issued), { tokenFile: path, commitment: undefined }, ENVIRONMENT);
const fails = async () => {
  throw new Error("refused");
};

describe("a token file that two commands share", () => {
  test("is taken back where nobody issued its secret", async () => {
    await expect(open().during(fails)).rejects.toThrow("refused");

    expect(existsSync(path)).toBe(false);
  });

  test.each([
    ["before it looked", [true]],
    ["between its look and the taking back", [false, true]],
  ])("stays where the other issued its secret %s", async (_when, issued) => {
    await expect(open(...issued).during(fails)).rejects.toThrow("refused");

    expect(readFileSync(path, "utf8")).toMatch(/^mid_test_/);
  });

  test("holds one secret where both found no file: that of whoever was quicker", () => {
    const real = fs.linkSync;
    let quicker: SecretSource | undefined;
    vi.spyOn(fs, "linkSync").mockImplementationOnce((from, to) => {
      quicker = open();
      real(from, to);
    });

    const later = open();

    expect(later.commitment).toEqual(quicker?.commitment);
    expect(readFileSync(path, "utf8")).toContain(later.commitment.publicId);
  });

  test("is written again by whoever found and issued it, where the other took it back meanwhile", async () => {
    await open().during(async () => undefined);
    const written = readFileSync(path, "utf8");

    await open().during(async () => unlinkSync(path));

    expect(readFileSync(path, "utf8")).toBe(written);
  });
});
