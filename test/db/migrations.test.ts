import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { readMigrations } from "../../src/db/migrations.ts";

describe("the package's migrations are found", () => {
  let installed: string;
  beforeAll(() => {
    const project = mkdtempSync(join(inject("scratch"), "project-"));
    installed = join(project, "node_modules/midctl");
    mkdirSync(join(installed, "migrations"), { recursive: true });
    writeFileSync(join(project, "package.json"), '{"name":"a-host"}');
    writeFileSync(join(installed, "package.json"), '{"name":"midctl","type":"module"}');
    writeFileSync(join(installed, "migrations/0001_installed.sql"), "");
  });

  it("from the sources", () => {
    expect(readMigrations()[0]).toMatchObject({
      name: "0001_tables.sql",
      position: 1,
      hash: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });

  it.each([
    ["the library", "dist/lib/db/migrations.js", "esm", "import { listMigrations } from"],
    ["a bundle of the command line", "dist/cli/db.cjs", "cjs", "const { listMigrations } = require"],
  ] as const)("from %s, wherever it is installed and called from", async (_, file, format, load) => {
    const outfile = join(installed, file);
    await build({
      entryPoints: [fileURLToPath(new URL("../../src/db/migrations.ts", import.meta.url))],
      outfile,
      format,
      bundle: true,
      platform: "node",
      logLevel: "error",
    });
    const main = join(dirname(outfile), format === "esm" ? "main.mjs" : "main.cjs");
    const specifier = JSON.stringify(format === "esm" ? "./migrations.js" : "./db.cjs");
    writeFileSync(
      main,
      `${load}${format === "esm" ? ` ${specifier}` : `(${specifier})`};\nprocess.stdout.write(listMigrations().join());`,
    );

    expect(execFileSync(process.execPath, [main], { cwd: "/", encoding: "utf8" })).toBe("0001_installed.sql");
  });
});
