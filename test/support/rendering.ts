import type { Rendering } from "../../src/cli/output.ts";

/** Tab-separated, into a pipe. */
export const piped: Rendering = {
  format: "plain",
  fields: undefined,
  onTerminal: false,
  columns: 80,
  now: Date.parse("2026-03-01T12:00:00Z"),
  paint: (text) => text,
};
