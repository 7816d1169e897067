/** How a context is shown, its URL without a password. */
import * as z from "zod/mini";
import type { ContextSettings } from "./contexts.ts";
import { redactUrl } from "./redact.ts";

export const contextSchema = z.object({
  name: z.string(),
  current: z.boolean(),
  databaseUrl: z.nullable(z.string()),
  passwordCommand: z.nullable(z.string()),
  dataDir: z.nullable(z.string()),
  trustDir: z.nullable(z.string()),
  headFile: z.nullable(z.string()),
  actor: z.nullable(z.string()),
});

export type ContextDocument = z.infer<typeof contextSchema>;

export function summarizeContext(name: string, settings: ContextSettings, current: boolean): ContextDocument {
  return {
    name,
    current,
    databaseUrl: settings.databaseUrl === undefined ? null : redactUrl(settings.databaseUrl),
    passwordCommand: settings.passwordCommand ?? null,
    dataDir: settings.dataDir ?? null,
    trustDir: settings.trustDir ?? null,
    headFile: settings.headFile ?? null,
    actor: settings.actor ?? null,
  };
}
