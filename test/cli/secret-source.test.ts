import { existsSync, mkdtempSync, readFileSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, inject, test } from "vitest";
import type { VerbContext } from "../../src/cli/context.ts";
import { openSecret } from "../../src/cli/secret-source.ts";
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

  test("is written again by whoever found and issued it, where the other took it back meanwhile", async () => {
    await open().during(async () => undefined);
    const written = readFileSync(path, "utf8");

    await open().during(async () => unlinkSync(path));

    expect(readFileSync(path, "utf8")).toBe(written);
  });
});
