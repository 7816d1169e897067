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
    const { stopEngine } = await import("../../db/engine/engine.ts");
    const { stopped } = await stopEngine(locateStore({ ...context.env, MIDCTL_DATA_DIR: place.location }));
    return { document: { place, stopped } };
  },
  view: viewDbStop,
});
