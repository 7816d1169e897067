/** A contestant or a verifier in a process of its own, which answers one order at a time. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Starts a program of bench/ and waits for its first word. */
export async function startChild(program, settings) {
  const path = fileURLToPath(new URL(`../${program}`, import.meta.url));
  const child = fork(path, [JSON.stringify(settings)], { execArgv: [] });
  const greeting = await nextMessage(child);
  return {
    greeting,
    /** Sends an order and waits for the answer. */
    async ask(order) {
      const answer = nextMessage(child);
      child.send(order);
      const { error, ...rest } = await answer;
      if (error !== undefined) throw new Error(`${program}: ${error}`);
      return rest;
    },
    kill: () => end(child, "SIGKILL"),
  };
}

/** Ends a process, and waits until it has. */
export function end(child, signal) {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once("exit", resolve);
    child.kill(signal);
  });
}

function nextMessage(child) {
  return new Promise((resolve, reject) => {
    const onExit = (code, signal) => settle(() => reject(new Error(`a process ended: ${signal ?? code}`)));
    const onMessage = (message) => settle(() => resolve(message));
    const settle = (finish) => {
      child.off("message", onMessage).off("exit", onExit);
      finish();
    };
    child.on("message", onMessage).on("exit", onExit);
  });
}
