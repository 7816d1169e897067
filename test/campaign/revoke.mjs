/**
 * `npm run campaign:revoke -- --count N --seed S [--seconds T] [--broken-cache]`: bundles the campaign, for Node 20 runs
 * no TypeScript. What it imports of src/ is not bundled but taken from dist/lib, as built.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { builtLibrary } from "./built-library.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "midctl-campaign-"));
try {
  await build({
    entryPoints: ["main", "verifier", "link"].map((name) => join(root, `test/campaign/revoke/${name}.ts`)),
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
  const { parseOptions, runCampaign } = await import(pathToFileURL(join(directory, "main.mjs")).href);
  process.exitCode = await runCampaign({
    ...parseOptions(process.argv.slice(2)),
    program: join(root, "bin/midctl.cjs"),
    verifier: join(directory, "verifier.mjs"),
    link: join(directory, "link.mjs"),
  });
} finally {
  rmSync(directory, { recursive: true, force: true });
}
