/** Questions to a person, on stderr, so that stdout stays the result's. Loaded only when somebody is asked. */
import { input, select } from "@inquirer/prompts";
import { MidctlError } from "../domain/errors.ts";
import { visible } from "../domain/visible.ts";
import type { Missing } from "./parse.ts";

type Place = { readonly input: typeof process.stdin; readonly output: typeof process.stderr };
type Asking<T> = (place: Place & { readonly signal: AbortSignal }) => Promise<T>;

const onStderr: Place = { input: process.stdin, output: process.stderr };

/** Asks for one value, again and again until it is a good one. */
export async function askText(missing: Missing): Promise<string> {
  const message = `${visible(missing.summary)} (${missing.name})`;
  if (missing.choices !== undefined) {
    const choices = missing.choices.map((value) => ({ value }));
    return interruptible((place) => select({ message, choices }, place));
  }
  const validate = (answer: string): true | string => missing.problem?.(answer.trim()) ?? true;
  const question =
    missing.offered === undefined ? { message, validate } : { message, validate, default: missing.offered };
  return (await interruptible((place) => input(question, place))).trim();
}

/** Whether the name was typed. */
export async function askConfirmation(action: string, name: string): Promise<boolean> {
  const message = `To ${visible(action)}, type ${visible(name)}:`;
  return (await interruptible((place) => input({ message }, place))).trim() === name;
}

/** Ctrl-C and the end of input (Ctrl-D on an empty line) at a prompt, as our own error. */
async function interruptible<T>(ask: Asking<T>): Promise<T> {
  const ended = new AbortController();
  const end = (): void => ended.abort();
  // readline closes itself at Ctrl-D, inquirer then waits for ever: the terminal left raw mode, and nobody answers.
  const watchForEnd = (_text: string | undefined, key: { ctrl?: boolean; name?: string }): void => {
    if (key.ctrl === true && key.name === "d") {
      setImmediate(() => {
        if (!process.stdin.isRaw) end();
      });
    }
  };
  process.stdin.on("keypress", watchForEnd).once("end", end);
  try {
    return await ask({ ...onStderr, signal: ended.signal });
  } catch (error) {
    if (
      error instanceof Error &&
      ["ExitPromptError", "AbortPromptError", "CancelPromptError"].includes(error.name)
    ) {
      throw new MidctlError("interrupted", "interrupted at the question; nothing was changed", {
        cause: error,
      });
    }
    throw error;
  } finally {
    process.stdin.off("keypress", watchForEnd).off("end", end);
  }
}
