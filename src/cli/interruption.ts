/** Ends that come from outside: signals, and a server that dies under the driver. */
import { MidctlError } from "../domain/errors.ts";
import type { Progress } from "./context.ts";
import { errnoOf } from "./terminal.ts";

export type Signal = "SIGINT" | "SIGTERM" | "SIGHUP";

/** Calls `end` with the error that explains an interruption, or an exception that nobody could catch. */
export function watchForInterruption(
  progress: Progress,
  changes: () => boolean,
  end: (error: unknown) => never,
): void {
  const interrupt = (signal: Signal): void => {
    if (signal === "SIGINT" && theirs > 0) return;
    const stop = orderly;
    orderly = undefined; // a second signal does not wait
    if (stop !== undefined) stop(signal);
    else end(interruptionOf(signal, progress, changes()));
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  process.on("SIGHUP", interrupt);
  process.on("uncaughtException", (error, origin) =>
    end(explainUncaught(error, origin, progress, changes())),
  );
}

/** How many programs are at work whose matter Ctrl-C is. */
let theirs = 0;

/** While this goes on, Ctrl-C is for the program that has the terminal: a pager takes it for the end of a search. */
export async function whileInterruptsAreTheirs<T>(work: () => Promise<T>): Promise<T> {
  theirs++;
  try {
    return await work();
  } finally {
    theirs--;
  }
}

let orderly: ((signal: Signal) => void) | undefined;

/** For what runs until it is told to end: the first signal calls `stop`, whose matter it is whether that is an error. */
export function endInOrder(stop: (signal: Signal) => void): void {
  orderly = stop;
}

/** The error that tells an interrupted user what was and what was not done. */
export function interruptionOf(signal: Signal, progress: Progress, changes: boolean): MidctlError {
  return new MidctlError("interrupted", `interrupted${outcomeOf(progress, changes)}`, {
    details: { signal },
  });
}

/**
 * postgres.js may throw in a socket's event when its server dies, where no caller can catch it. Our own code runs under
 * promises, so an exception out of the event loop while a database is open is the connection's; a rejection is it
 * only if it says so.
 */
export function explainUncaught(
  error: unknown,
  origin: string,
  progress: Progress,
  changes: boolean,
): unknown {
  if (error instanceof MidctlError || !progress.databaseOpened) return error;
  const code = errnoOf(error);
  const fromConnection = code !== undefined && /^(CONNECTION_|ECONN|EPIPE|ETIMEDOUT|57P0|08)/.test(code);
  if (origin === "unhandledRejection" && !fromConnection) return error;
  return new MidctlError(
    "unavailable",
    `the connection to the database broke${outcomeOf(progress, changes)}`,
    {
      hint: "midctl doctor",
      cause: error,
    },
  );
}

function outcomeOf(progress: Progress, changes: boolean): string {
  if (progress.standing !== undefined) return `; ${progress.standing}`;
  if (!changes) return "";
  if (progress.openTransactions > 0) {
    return " while the change was under way; it was undone unless it had just been committed: look with `midctl audit`";
  }
  return progress.transactionsDone > 0 ? "; what was done by then stands" : "; nothing was changed";
}
