import { locateStore } from "../db/engine/location.ts";
import type { VerbContext } from "./context.ts";
import { redactUrl } from "./redact.ts";

/** Where the data are, as people and scripts are told: never with a password. */
export interface Place {
  readonly kind: "embedded" | "server";
  /** The store's directory, or the redacted URL. */
  readonly location: string;
  /** What decided: a flag, the environment, a context, or a default. */
  readonly source: string;
}

export function describePlace(context: VerbContext): Place {
  const { databaseUrl, dataDir } = context.settings;
  if (databaseUrl.value !== null) {
    return { kind: "server", location: redactUrl(databaseUrl.value), source: databaseUrl.source };
  }
  const env = dataDir.value === null ? context.env : { ...context.env, MIDCTL_DATA_DIR: dataDir.value };
  const store = locateStore(env);
  return {
    kind: "embedded",
    location: store.dir,
    source: dataDir.value === null ? "default" : dataDir.source,
  };
}
