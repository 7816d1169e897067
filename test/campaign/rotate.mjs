/**
 * `npm run campaign:rotate -- --fleet N --kills K --seed S`: bundles the campaign, for Node 20 runs no TypeScript. What it imports of
 * src/ is not bundled but taken from dist/lib, as built.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { builtLibrary } from "./built-library.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "midctl-campaign-"));
const outfile = join(directory, "main.mjs");
try {
  await build({
    entryPoints: [join(root, "test/campaign/rotate/main.ts")],
    outfile,
    bundle: true,
    platform: "node",
    target: "node20.12",
    format: "esm",
    sourcemap: "inline",
    logLevel: "warning",
    plugins: [builtLibrary],
  });
  const { parseOptions, runCampaign } = await import(pathToFileURL(outfile).href);
  process.exitCode = await runCampaign({
    ...parseOptions(process.argv.slice(2)),
    program: join(root, "bin/midctl.cjs"),
  });
} finally {
  rmSync(directory, { recursive: true, force: true });
}
