import type { DbStopDocument } from "../verbs/db-stop.ts";
import type { View } from "../view.ts";

export function viewDbStop({ place, stopped }: DbStopDocument): View {
  return [
    {
      kind: "notice",
      text: stopped
        ? `Stopped the PostgreSQL of ${place.location}.`
        : `No PostgreSQL was running in ${place.location}.`,
    },
  ];
}
