/** `npm run campaign:crash -- --count N --seed S [--server-kills M]`: bundles the campaign, for Node 20 runs no TypeScript. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const entry = fileURLToPath(new URL("./crash.ts", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "midctl-campaign-"));
const outfile = join(directory, "crash.mjs");
try {
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: "node",
    target: "node20.12",
    format: "esm",
    sourcemap: "inline",
    logLevel: "warning",
  });
  const { parseOptions, runCampaign } = await import(pathToFileURL(outfile).href);
  const program = fileURLToPath(new URL("../../bin/midctl.cjs", import.meta.url));
  process.exitCode = await runCampaign({ ...parseOptions(process.argv.slice(2)), program });
} finally {
  rmSync(directory, { recursive: true, force: true });
}
