/** Questions to a person, on stderr, so that stdout stays the result's. Loaded only when somebody is asked. */
import { input, select } from "@inquirer/prompts";
import { MidctlError } from "../domain/errors.ts";
import { visible } from "../domain/visible.ts";
import type { Missing } from "./parse.ts";

const onStderr = { input: process.stdin, output: process.stderr };

/** Asks for one value, again and again until it is a good one. */
export async function askText(missing: Missing): Promise<string> {
  const message = `${visible(missing.summary)} (${missing.name})`;
  if (missing.choices !== undefined) {
    const choices = missing.choices.map((value) => ({ value }));
    return interruptible(select({ message, choices }, onStderr));
  }
  const validate = (answer: string): true | string => missing.problem?.(answer.trim()) ?? true;
  return (await interruptible(input({ message, validate }, onStderr))).trim();
}

/** Whether the name was typed. */
export async function askConfirmation(action: string, name: string): Promise<boolean> {
  const message = `To ${visible(action)}, type ${visible(name)}:`;
  return (await interruptible(input({ message }, onStderr))).trim() === name;
}

/** Ctrl-C and the end of input at a prompt, as our own error. */
async function interruptible<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
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
  }
}
