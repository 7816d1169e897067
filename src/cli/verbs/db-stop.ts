import * as z from "zod/mini";
import { locateStore } from "../../db/engine/location.ts";
import { MidctlError } from "../../domain/errors.ts";
import { describePlace } from "../place.ts";
import { defineVerb } from "../verb.ts";
import { viewDbStop } from "../views/db-stop.ts";
import { placeSchema } from "./status.ts";

export const dbStopOutput = z.object({ place: placeSchema, stopped: z.boolean() });
export type DbStopDocument = z.infer<typeof dbStopOutput>;

export const dbStop = defineVerb({
  path: ["db", "stop"],
  summary: "Stop the embedded PostgreSQL",
  description: "The next command starts it again. Without a running one it succeeds and starts none.",
  examples: [{ command: "midctl db stop", does: "before the store is copied or moved" }],
  output: dbStopOutput,
  changes: true,
  async run(_input, context) {
    const place = describePlace(context);
    if (place.kind === "server") {
      throw new MidctlError(
        "usage",
        `${place.location} is a server of its own, which midctl did not start; nothing was stopped`,
        {
          hint: "db stop is for the embedded PostgreSQL",
        },
      );
    }
    const { inspectEngine, stopEngine } = await import("../../db/engine/engine.ts");
    const store = locateStore({ ...context.env, MIDCTL_DATA_DIR: place.location });
    if (context.dryRun) return { document: { place, stopped: (await inspectEngine(store)).running } };
    const { stopped } = await stopEngine(store);
    return { document: { place, stopped } };
  },
  view: viewDbStop,
});
