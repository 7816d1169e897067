/** docs/commands.md and docs/schema/*.json, written from the commands' own definitions. */
import * as z from "zod/mini";
import { flagOf, globalOptions } from "./globals.ts";
import { usageOf } from "./help.ts";
import { schemaVersion } from "./output.ts";
import { argumentName } from "./parse.ts";
import { registry } from "./registry.ts";
import { runbookJsonSchema } from "./runbook-schema.ts";
import type { OptionSpec, Verb } from "./verb.ts";

const madeFrom = "Generated from the commands' definitions by `node build.mjs --docs`; edit those.";

/** Every generated file, by its path under docs/. */
export async function renderReference(): Promise<ReadonlyMap<string, string>> {
  const verbs = await Promise.all(registry.map((entry) => entry.load()));
  const files = new Map([["commands.md", renderCommands(verbs)]]);
  files.set("runbooks/schema.json", `${JSON.stringify(runbookJsonSchema(), null, 2)}\n`);
  for (const verb of verbs) {
    files.set(`schema/${verb.path.join("-")}.json`, `${JSON.stringify(documentSchema(verb), null, 2)}\n`);
  }
  return files;
}

/** The JSON Schema of a verb's whole document. */
export function documentSchema(verb: Verb): Readonly<Record<string, unknown>> {
  const { $schema, ...own } = z.toJSONSchema(verb.output, { io: "output", unrepresentable: "any" });
  const head = {
    $schema,
    $id: `midctl/schema/${verb.path.join("-")}.json`,
    title: `midctl ${verb.path.join(" ")}`,
    description: verb.summary,
  };
  if (own.type !== "object") {
    return {
      ...head,
      allOf: [{ properties: { schemaVersion: { const: schemaVersion } }, required: ["schemaVersion"] }, own],
    };
  }
  // Fields may be added within a schema version, so a reader must not refuse them.
  const { additionalProperties: _, ...open } = own;
  return {
    ...head,
    ...open,
    properties: { schemaVersion: { const: schemaVersion }, ...own.properties },
    required: ["schemaVersion", ...(own.required ?? [])],
  };
}

function renderCommands(verbs: readonly Verb[]): string {
  const contents = verbs.map((verb) => {
    const name = `midctl ${verb.path.join(" ")}`;
    return `- [\`${name}\`](#${name.replaceAll(" ", "-")}): ${verb.summary}`;
  });
  return `${[
    `<!-- ${madeFrom} -->\n# Commands`,
    contents.join("\n"),
    `## Global options\n\nBefore or after the command.\n\n${optionTable(globalOptions)}`,
    ...verbs.map(renderCommand),
  ].join("\n\n")}\n`;
}

function renderCommand(verb: Verb): string {
  const parts = [`## midctl ${verb.path.join(" ")}`, `${verb.summary}.`];
  if (verb.description !== undefined) parts.push(verb.description);
  parts.push(`\`\`\`\n${usageOf(verb)}\n\`\`\``);
  if (verb.args.length > 0) {
    const rows = verb.args.map(
      (spec) => `| \`${argumentName(spec)}\` | ${cell(describe(spec.summary, spec.choices))} |`,
    );
    parts.push(`| argument | |\n|---|---|\n${rows.join("\n")}`);
  }
  if (Object.keys(verb.options).length > 0) parts.push(optionTable(verb.options));
  if (verb.examples.length > 0) {
    const examples = verb.examples.map(({ command, does }) => `# ${does}\n${command}`);
    parts.push(`\`\`\`sh\n${examples.join("\n")}\n\`\`\``);
  }
  parts.push(`JSON: [schema/${verb.path.join("-")}.json](schema/${verb.path.join("-")}.json)`);
  return parts.join("\n\n");
}

function optionTable(options: Readonly<Record<string, OptionSpec>>): string {
  const rows = Object.entries(options).map(([name, spec]) => {
    const flag = spec.value === undefined ? flagOf(name) : `${flagOf(name)} ${spec.value}`;
    const notes = [
      ...(spec.required === true ? ["required"] : []),
      ...(spec.repeat === true ? ["repeatable"] : []),
      ...(spec.default === undefined ? [] : [`default \`${spec.default}\``]),
    ];
    const text = describe(spec.summary, spec.choices) + (notes.length === 0 ? "" : ` (${notes.join(", ")})`);
    return `| \`${cell(flag)}\` | ${cell(text)} |`;
  });
  return `| option | |\n|---|---|\n${rows.join("\n")}`;
}

function describe(summary: string, choices: readonly string[] | undefined): string {
  return choices === undefined
    ? summary
    : `${summary}: ${choices.map((choice) => `\`${choice}\``).join(", ")}`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
