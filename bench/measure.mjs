/** Ratios measured side by side: the contestants take turns, so that what slows the machine slows all of them. */

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";

/** Node 20 loads extra certificates at start, which costs `node -e 0` twice its own time. */
delete process.env.NODE_EXTRA_CA_CERTS;

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * Runs every contestant in turn, `rounds` times, after one turn each that does not count.
 * @param contestants name → async function that returns its own figure (ms, transactions per second)
 * @returns name → figures, in order
 */
export async function takeTurns(contestants, rounds) {
  const figures = new Map(Object.keys(contestants).map((name) => [name, []]));
  for (let round = -1; round < rounds; round++) {
    for (const [name, run] of Object.entries(contestants)) {
      const figure = await run();
      if (round >= 0) figures.get(name).push(figure);
    }
  }
  return figures;
}

/** Median of the ratios of each round, not the ratio of medians: a slow second hits both sides of one round. */
export function ratio(figures, name, base) {
  return median(figures.get(name).map((figure, round) => figure / figures.get(base)[round]));
}

const verdicts = [];

/** Prints a line of the table, and remembers whether the goal was reached. */
export function judge(what, value, goal, unit = "×") {
  const reached = goal.atMost === undefined ? value >= goal.atLeast : value <= goal.atMost;
  const said = goal.atMost === undefined ? `≥ ${goal.atLeast}` : `≤ ${goal.atMost}`;
  verdicts.push(reached);
  console.log(`| ${what} | ${value.toFixed(2)} ${unit} | ${said} ${unit} | ${reached ? "yes" : "NO"} |`);
}

export function say(line) {
  console.log(line);
}

export function startTable(title) {
  console.log(`\n## ${title}\n\n| what | median | goal | reached |\n|---|---|---|---|`);
}

/** Exit 1 where a goal was missed. */
export function finish() {
  if (verdicts.includes(false)) process.exitCode = 1;
}

/** Runs a program of Node to its end: its milliseconds, the most memory that it held (MiB), and what it said. */
export function runNode(args, { env = {}, cwd } = {}) {
  const begun = performance.now();
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...env },
    cwd,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr, peak] = ["", "", 0];
  child.stdout.setEncoding("utf8").on("data", (text) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    stderr += text;
  });
  const watch = setInterval(() => {
    try {
      const [, kilobytes] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"));
      peak = Math.max(peak, Number(kilobytes) / 1024);
    } catch {
      // It has ended.
    }
  }, 10);
  return new Promise((resolve) => {
    child.on("close", (code) => {
      clearInterval(watch);
      resolve({ ms: performance.now() - begun, peak, code, stdout, stderr });
    });
  });
}

/** As `runNode`; what does not end well ends the measurement. */
export async function runWell(args, options) {
  const ran = await runNode(args, options);
  if (ran.code !== 0) throw new Error(ran.stderr);
  return ran;
}
