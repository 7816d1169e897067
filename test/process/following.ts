import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { scrubEnvironment } from "../support/cli.ts";
import type { Answer, Desk } from "./desk.ts";

const PROGRAM = fileURLToPath(new URL("../../bin/midctl.cjs", import.meta.url));

/** `midctl audit follow` as a process; resolves once whatever is committed from now on will be printed. */
export async function openFollowing(desk: Desk, words = "") {
  const child = spawn(
    process.execPath,
    [PROGRAM, "audit", "follow", "--debug", ...words.split(" ").filter((word) => word !== "")],
    {
      cwd: desk.directory,
      env: scrubEnvironment(desk.env),
    },
  );
  let [stdout, stderr] = ["", ""];
  const watchers = new Set<() => void>();
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString("utf8");
    for (const look of watchers) look();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString("utf8");
    for (const look of watchers) look();
  });
  const until = (holds: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const look = () => {
        if (!holds()) return;
        watchers.delete(look);
        resolve();
      };
      watchers.add(look);
      look();
    });
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  const events = (): Answer[] =>
    stdout
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  await until(() => stderr.includes("ms: follow"));
  return {
    child,
    ended,
    events,
    stderr: () => stderr,
    said: (text: string) => until(() => stderr.includes(text)),
    /** Resolves once so many events were printed. */
    printed: async (events_: number) => {
      await until(() => events().length >= events_);
      return events();
    },
    async stop() {
      child.kill("SIGINT");
      return ended;
    },
  };
}
