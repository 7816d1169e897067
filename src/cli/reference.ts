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

const documents = `## JSON

With \`--json\` each command prints one document, of the JSON Schema (draft 2020-12) that is named with it. With \`--output ndjson\` a
document that has a list is an element of that list a line, without \`schemaVersion\`; any other is the same in one line. What has no
end, \`audit follow\`, is an element a line with \`--json\` too, and its schema describes one. \`--fields\` leaves of a document what
it names, and no schema describes that. Fields may be added within a schema version: no schema refuses one that it does not know.`;

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

type Schema = z.core.JSONSchema.BaseSchema;

/** The JSON Schema of a verb's whole document; of what has no end, of one line. */
export function documentSchema(verb: Verb): Readonly<Record<string, unknown>> {
  const { $schema, ...own } = z.toJSONSchema(verb.output, {
    io: "output",
    unrepresentable: "any",
    // Fields may be added within a schema version, so a reader must not refuse them.
    override: ({ jsonSchema }) => {
      if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
    },
  });
  return {
    $schema,
    $id: `midctl/schema/${verb.path.join("-")}.json`,
    title: `midctl ${verb.path.join(" ")}`,
    description: verb.endless ? `${verb.summary}: of each line` : verb.summary,
    ...(verb.endless ? elementOf(verb, own) : versioned(own)),
  };
}

/** With the version that the frame puts in front; into each of several shapes, for it is a field of that very object. */
function versioned(schema: Schema): Schema {
  if (schema.type === "object") {
    return {
      ...schema,
      properties: { schemaVersion: { const: schemaVersion }, ...schema.properties },
      required: ["schemaVersion", ...(schema.required ?? [])],
    };
  }
  if (schema.anyOf !== undefined) return { ...schema, anyOf: schema.anyOf.map(shapeOf).map(versioned) };
  if (schema.oneOf !== undefined) return { ...schema, oneOf: schema.oneOf.map(shapeOf).map(versioned) };
  throw new Error("a document is an object, or one of several");
}

function elementOf(verb: Verb, { properties }: Schema): Schema {
  const { items } = shapeOf(properties?.[verb.list[0] ?? ""]);
  return shapeOf(Array.isArray(items) ? undefined : items);
}

function shapeOf(schema: Schema | boolean | undefined): Schema {
  if (typeof schema === "object") return schema;
  throw new Error("this part of a document has no shape");
}

function renderCommands(verbs: readonly Verb[]): string {
  const contents = verbs.map((verb) => {
    const name = `midctl ${verb.path.join(" ")}`;
    return `- [\`${name}\`](#${name.replaceAll(" ", "-")}): ${verb.summary}`;
  });
  return `${[
    `<!-- ${madeFrom} -->\n# Commands`,
    contents.join("\n"),
    documents,
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
  const schema = `[schema/${verb.path.join("-")}.json](schema/${verb.path.join("-")}.json)`;
  parts.push(verb.endless ? `JSON, each line: ${schema}` : `JSON: ${schema}`);
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
