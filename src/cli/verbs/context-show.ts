import * as z from "zod/mini";
import { contextSchema, summarizeContext } from "../context-document.ts";
import { contextFilePath, findContext, readContextFile } from "../contexts.ts";
import { redactUrl } from "../redact.ts";
import type { Sourced } from "../settings.ts";
import { defineVerb } from "../verb.ts";
import { viewContextShow } from "../views/context-show.ts";

const sourced = z.object({
  value: z.nullable(z.string()),
  source: z.enum(["flag", "environment", "context", "default"]),
});

export const contextShowOutput = z.object({
  file: z.nullable(z.string()),
  context: z.nullable(contextSchema),
  settings: z.nullable(
    z.object({
      context: sourced,
      databaseUrl: sourced,
      dataDir: sourced,
      trustDir: sourced,
      headFile: sourced,
      actor: sourced,
      output: sourced,
    }),
  ),
});

export type ContextShowDocument = z.infer<typeof contextShowOutput>;

export const contextShow = defineVerb({
  path: ["context", "show"],
  summary: "Show a context, or the settings in force and where each comes from",
  examples: [
    { command: "midctl context show", does: "what is in force, and why" },
    { command: "midctl context show prod", does: "what one context sets" },
  ],
  args: [
    {
      name: "name",
      summary: "the context; without it: what is in force",
      optional: true,
      complete: "context",
    },
  ],
  output: contextShowOutput,
  async run({ name }, context) {
    const path = contextFilePath(context.env) ?? null;
    if (name !== undefined) {
      const contexts = readContextFile(context.env);
      const shown = summarizeContext(name, findContext(contexts, name), contexts.current === name);
      return { document: { file: path, context: shown, settings: null } };
    }
    const { settings } = context;
    const plain = ({ value, source }: Sourced<string | null>) => ({
      value: value === null ? null : redactUrl(value),
      source,
    });
    return {
      document: {
        file: path,
        context: null,
        settings: {
          context: plain(settings.context),
          databaseUrl: plain(settings.databaseUrl),
          dataDir: plain(settings.dataDir),
          trustDir: plain(settings.trustDir),
          headFile: plain(settings.headFile),
          actor: plain(settings.actor),
          output: plain(settings.output),
        },
      },
    };
  },
  view: viewContextShow,
});
