/** Runs the program that a context names for a password: a password manager's, say. */
import { spawn } from "node:child_process";
import { MidctlError } from "../domain/errors.ts";

/** A person may have to unlock the manager; nobody waits for ever. ms */
const PATIENCE = 60_000;
const LONGEST = 64 * 1024;
/** How long its output is read on after it has ended, ms. */
const LEFT = 500;

/**
 * Takes a command line apart at spaces, quotes and backslashes as a shell would, and expands nothing: what wants a shell
 * says `sh -c '…'`.
 * @throws MidctlError `usage` for no word or an open quote
 */
export function splitCommand(text: string, what = "the password command"): readonly [string, ...string[]] {
  const words = text.match(/(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\])+/gs) ?? [];
  const [program = "", ...args] = words.map(unquote);
  if (program !== "" && isWhole(text)) return [program, ...args];
  throw new MidctlError("usage", `${what} is empty or leaves a quote open; nothing was done`);
}

function isWhole(text: string): boolean {
  return /^(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^'"\\])*$/s.test(text);
}

function unquote(word: string): string {
  return word.replace(/'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)/gs, (_, single, double, escaped) =>
    single !== undefined
      ? single
      : double !== undefined
        ? String(double).replace(/\\(["\\$`])/g, "$1")
        : escaped,
  );
}

/**
 * The first line of what it prints. Its stderr is ours, its stdin nothing. Neither its arguments nor what it prints get
 * into a message.
 * @throws MidctlError `unavailable` saying what happened; `usage` for a command that is none
 */
export async function runPasswordCommand(text: string, patience = PATIENCE): Promise<string> {
  const [program, ...args] = splitCommand(text);
  const fail = (what: string): MidctlError =>
    new MidctlError("unavailable", `the password command ${program} ${what}; nothing was done`, {
      hint: "run it by hand; midctl context show says which it is",
    });
  const printed = await new Promise<string>((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    const timer = setTimeout(() => {
      reject(fail(`gave no password within ${patience / 1000} s`));
      child.stdout.destroy();
      child.kill("SIGKILL");
    }, patience);
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      if (output.length < LONGEST) output += chunk;
    });
    child.on("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      reject(fail(`could not be started (${error.code})`));
    });
    // What it left running may keep the pipe open for ever; what it printed before it ended is there a moment later.
    child.on("exit", (code, signal) => {
      clearTimeout(timer);
      const end = () => {
        child.stdout.destroy();
        if (code === 0) resolve(output);
        else reject(fail(signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`));
      };
      child.stdout.once("end", end);
      if (child.stdout.readableEnded) end();
      else setTimeout(end, LEFT);
    });
  });
  const [password = ""] = printed.split(/\r?\n/);
  if (password === "") throw fail("printed no password");
  return password;
}
