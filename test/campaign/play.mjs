/**
 * Bundles a campaign, for Node 20 runs no TypeScript, and plays it. What it imports of src/ is not bundled but taken from dist/lib,
 * as built.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { builtLibrary } from "./built-library.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));

/**
 * @param campaign its directory here, in which main.ts has `parseOptions` and `runCampaign`
 * @param processes further files there that it starts as processes, which it is given by name
 */
export async function play(campaign, processes = []) {
  const directory = mkdtempSync(join(tmpdir(), "midctl-campaign-"));
  const bundled = (name) => join(directory, `${name}.mjs`);
  try {
    await build({
      entryPoints: ["main", ...processes].map((name) => join(root, `test/campaign/${campaign}/${name}.ts`)),
      outdir: directory,
      outExtension: { ".js": ".mjs" },
      bundle: true,
      platform: "node",
      target: "node20.12",
      format: "esm",
      sourcemap: "inline",
      logLevel: "warning",
      plugins: [builtLibrary],
    });
    const { parseOptions, runCampaign } = await import(pathToFileURL(bundled("main")).href);
    process.exitCode = await runCampaign({
      ...parseOptions(process.argv.slice(2)),
      program: join(root, "bin/midctl.cjs"),
      ...Object.fromEntries(processes.map((name) => [name, bundled(name)])),
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
