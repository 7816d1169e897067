/** Whether a long result goes through a pager, and through which: only for a person at a terminal. */
import { spawn } from "node:child_process";
import { withoutSettings } from "./command.ts";
import type { VerbContext } from "./context.ts";
import { whileInterruptsAreTheirs } from "./interruption.ts";

/** Leaves the screen as it is, obeys colours, and ends by itself where all fits. Silent where there is none. */
const LESS = "command -v less >/dev/null 2>&1 || exit 127; exec less -FRX";

/** The shell command that the user pages by; null for none. */
export function pagerOf({ env, terminal, settings, noInput }: VerbContext): string | null {
  if (!terminal.stdoutIsTerminal || settings.output.value !== "table") return null;
  // Nobody is there to turn the page, or the terminal cannot.
  if (noInput || ["", "dumb"].includes(env.TERM ?? "")) return null;
  const command = env.MIDCTL_PAGER ?? env.PAGER ?? LESS;
  return command.trim() === "" ? null : command;
}

/** Whether a text has more lines than the screen. */
export function isLonger(text: string, rows: number): boolean {
  return text.split("\n").length > rows;
}

/**
 * Shows a text by a pager and returns once that has ended; false where it did not do its work, for whatever reason. Its environment
 * is ours without midctl's settings, which may hold a password.
 */
export function showByPager(command: string, text: string): Promise<boolean> {
  return whileInterruptsAreTheirs(
    () =>
      new Promise((resolve) => {
        const child = spawn("/bin/sh", ["-c", command], {
          stdio: ["pipe", "inherit", "inherit"],
          // What it is given is UTF-8, whatever the locale; without one less shows each byte of an arrow.
          env: { LESSCHARSET: "utf-8", ...withoutSettings(process.env) },
        });
        child.on("error", () => resolve(false));
        child.on("close", (code) => resolve(code === 0));
        // Whoever leaves before the end has seen what he wanted.
        child.stdin.on("error", () => undefined).end(text);
      }),
  );
}
