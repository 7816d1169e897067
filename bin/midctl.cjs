#!/usr/bin/env node
"use strict";
// Starts midctl fast: the root help is a file, everything else one bundle run from V8's code cache.
const fs = require("node:fs");
const path = require("node:path");

const root = path.join(__dirname, "..", "dist", "cli");
const argv = process.argv.slice(2);
const asksForRootHelp =
  argv.length === 0 || (argv.length === 1 && ["--help", "-h", "help"].includes(argv[0]));

try {
  if (asksForRootHelp) printHelp();
  else runBundle();
} catch (error) {
  if (error.code !== "ENOENT" || !String(error.path).startsWith(root)) throw error;
  fs.writeSync(2, `error: midctl is not built yet\nhint: npm run build (in ${path.join(__dirname, "..")})\n`);
  process.exitCode = 1;
}

function printHelp() {
  const text = fs.readFileSync(path.join(root, "help.txt"));
  try {
    for (let written = 0; written < text.length; ) written += fs.writeSync(1, text, written);
  } catch (error) {
    if (error.code === "EAGAIN")
      process.stdout.write(text); // a full pipe that somebody made non-blocking
    else if (error.code !== "EPIPE") {
      fs.writeSync(
        2,
        `error: stdout could not take the help (${error.code}); nothing was done\nhint: midctl --help > FILE where there is room\n`,
      );
      process.exitCode = 1;
    }
  }
}

function runBundle() {
  const file = path.join(root, "midctl.cjs");
  const source = fs.readFileSync(file, "latin1"); // the bundle is ASCII
  const cache = openCodeCache(file, source);
  const { Script } = require("node:vm");
  const script = new Script(`(function (exports, require, module, __filename, __dirname) {${source}\n})`, {
    filename: file,
    ...(cache === null || cache.data === null ? {} : { cachedData: cache.data }),
  });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, require, module, file, root);
  if (cache !== null) {
    const known = script.cachedDataRejected === false ? cache.commands : [];
    // At the end, so that the functions which this run compiled are in it, beside those of earlier commands.
    process.on("exit", () => {
      const command = module.exports.finishedCommand() ?? "";
      if (known.length === 0 || (command !== "" && !known.includes(command))) {
        writeCodeCache(cache.place, script, [...known, command]);
      }
    });
  }
  module.exports.main(argv);
}

/**
 * Where this bundle's compiled code is kept, and what is kept there. Only in a private directory of our own: whoever can
 * write there can run code as us. V8 checks no more than the length of the source, so the name holds everything else.
 */
function openCodeCache(file, source) {
  try {
    const home = process.env.XDG_CACHE_HOME || (process.env.HOME && path.join(process.env.HOME, ".cache"));
    if (!home || !path.isAbsolute(home) || process.getuid === undefined) return null;
    const directory = path.join(home, "midctl", "code");
    const { mtimeMs, size } = fs.statSync(file);
    const flags = `${process.execArgv.join(" ")} ${process.env.NODE_OPTIONS || ""}`;
    const key = [
      process.version,
      process.arch,
      source.slice(2, 34),
      size.toString(36),
      Math.trunc(mtimeMs).toString(36),
      ...(flags === " " ? [] : [Buffer.from(flags).toString("hex").slice(0, 64)]),
    ].join("-");
    const place = path.join(directory, key);
    return { place, ...readCodeCache(directory, place) };
  } catch {
    return null;
  }
}

/** A cache ends in a line of its own: how long it is, and the commands whose functions are in it. */
function readCodeCache(directory, place) {
  const none = { data: null, commands: [] };
  let descriptor;
  try {
    if (!isPrivate(fs.lstatSync(directory))) return none;
    descriptor = fs.openSync(place, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
    if (!isPrivate(fs.fstatSync(descriptor))) return none;
    const bytes = fs.readFileSync(descriptor);
    const end = bytes.lastIndexOf("\n");
    const [, length, commands] = /^midctl (\d+) (.*)$/.exec(bytes.toString("latin1", end + 1)) ?? [];
    return Number(length) === end ? { data: bytes.subarray(0, end), commands: commands.split(";") } : none;
  } catch {
    return none;
  } finally {
    if (descriptor !== undefined) fs.closeSync(descriptor);
  }
}

/** With parents. node's own `recursive` runs for ever where a file system answers ENOENT, as /proc does. */
function makeDirectory(directory, mayNeedParent = true) {
  try {
    fs.mkdirSync(directory, 0o700);
  } catch (error) {
    if (error.code === "EEXIST") return;
    if (error.code !== "ENOENT" || !mayNeedParent || path.dirname(directory) === directory) throw error;
    makeDirectory(path.dirname(directory));
    makeDirectory(directory, false);
  }
}

function writeCodeCache(place, script, commands) {
  const directory = path.dirname(place);
  const fresh = `${place}.${process.pid}`;
  try {
    makeDirectory(directory);
    if (!isPrivate(fs.lstatSync(directory))) return;
    for (const name of fs.readdirSync(directory)) removeStale(path.join(directory, name));
    const data = script.createCachedData();
    const last = Buffer.from(`\nmidctl ${data.length} ${commands.join(";")}`);
    fs.writeFileSync(fresh, Buffer.concat([data, last]), { flag: "wx", mode: 0o600 });
    fs.renameSync(fresh, place);
  } catch {
    // No cache, then: the next run is as slow as this one.
    try {
      fs.rmSync(fresh, { force: true });
    } catch {}
  }
}

/** Caches of bundles that are gone: a week without having been written is long enough. */
function removeStale(file) {
  if (Date.now() - fs.statSync(file).mtimeMs > 7 * 86_400_000) fs.rmSync(file);
}

function isPrivate(stat) {
  return stat.uid === process.getuid() && (stat.mode & 0o077) === 0;
}
