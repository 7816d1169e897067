/** Help, written from the definitions themselves: for the root, a noun, a verb. */
import { MidctlError } from "../domain/errors.ts";
import { flagOf, globalOptions } from "./globals.ts";
import { argumentName } from "./parse.ts";
import { findEntry, isNoun, registry } from "./registry.ts";
import { nearest } from "./suggest.ts";
import { topics } from "./topics.ts";
import type { OptionSpec, Verb } from "./verb.ts";

const lineWidth = 80;

/** The groups of the root help; the main job on top. A command in none of them is listed under "More". */
const groups: readonly (readonly [title: string, paths: readonly string[]])[] = [
  ["Identities and credentials", ["identity", "credential", "list", "pause", "resume", "revoke", "verify"]],
  ["Who did what", ["audit", "status", "doctor"]],
  ["Production", ["approval", "runbook", "sweep", "token"]],
  ["Running it", ["db", "serve", "mcp", "context", "completion", "help", "version"]],
];

const nounSummaries: Readonly<Record<string, string>> = {
  identity: "Make and look after machine identities",
  credential: "Issue, rotate and inspect credentials",
  audit: "Read and check the log",
  approval: "Ask for, give and use approvals",
  runbook: "Run rotation runbooks",
  token: "Look after legacy tokens",
  db: "Create, upgrade and inspect the database",
  context: "Name databases and switch between them",
};

const mainExamples = `Examples:
  midctl credential issue --thread demo-1 --provider codex --create --owner you
  midctl list
  midctl credential rotate codex-demo-1 --token-file ./token
  midctl revoke codex-demo-1 --reason "thread ended"
  midctl audit
`;

/** The help of a path: "" is the root, a noun lists its verbs, a verb shows its options. */
export async function renderHelp(path: string): Promise<string> {
  if (path === "") return renderRootHelp();
  const entry = findEntry(path);
  if (entry !== undefined && !isNoun(path)) return renderVerbHelp(await entry.load());
  if (isNoun(path)) return renderNounHelp(path);
  const topic = topics[path];
  if (topic !== undefined) return `${path}: ${topic.summary}\n${await topic.load()}`;
  const known = [...Object.keys(topics), ...registry.map((each) => each.path)];
  const meant = nearest(path, known);
  throw new MidctlError("not_found", "there is no help on that", {
    hint:
      meant === undefined
        ? `topics: ${Object.keys(topics).join(", ")}`
        : `did you mean \`midctl help ${meant}\`?`,
  });
}

/** The text of `midctl --help`; the build stores it, so that it costs no more than printing it. */
export async function renderRootHelp(): Promise<string> {
  const heads = new Map<string, string>();
  for (const { path, load } of registry) {
    const head = path.split(" ")[0] ?? path;
    if (!heads.has(head))
      heads.set(head, isNoun(head) ? (nounSummaries[head] ?? "") : (await load()).summary);
  }
  const sections: string[] = [];
  const listed = new Set<string>();
  for (const [title, paths] of [...groups, ["More", [...heads.keys()]] as const]) {
    const present = paths.filter((path) => heads.has(path) && !listed.has(path));
    for (const path of present) listed.add(path);
    if (present.length > 0)
      sections.push(`${title}:\n${rowsOf(present.map((path) => [path, heads.get(path) ?? ""]))}`);
  }
  return `midctl: machine identities, their credentials, and who did what with them

Usage: midctl COMMAND [ARGUMENTS] [OPTIONS]

${sections.join("\n")}
${mainExamples}
Global options, before or after the command:
${optionRows(globalOptions)}
Help topics, \`midctl help TOPIC\`:
${rowsOf(Object.entries(topics).map(([name, topic]) => [name, topic.summary]))}`;
}

async function renderNounHelp(noun: string): Promise<string> {
  const entries = registry.filter((entry) => entry.path.startsWith(`${noun} `));
  const verbs = await Promise.all(entries.map(async (entry) => ({ entry, verb: await entry.load() })));
  const rows = verbs.map(({ entry, verb }) => {
    const suffix = entry.isDefault === true ? ` (the default: \`midctl ${noun}\`)` : "";
    return [verb.path.slice(1).join(" "), `${verb.summary}${suffix}`] as const;
  });
  const example = verbs.flatMap(({ verb }) => verb.examples.slice(0, 1)).slice(0, 4);
  return `${nounSummaries[noun] ?? noun}

Usage: midctl ${noun} COMMAND [ARGUMENTS] [OPTIONS]

Commands:
${rowsOf(rows)}
Examples:
${example.map(({ command }) => `  ${command}\n`).join("")}
\`midctl ${noun} COMMAND --help\` says more; \`midctl --help\` lists the global options.
`;
}

export function renderVerbHelp(verb: Verb): string {
  const sections = [verb.summary];
  if (verb.description !== undefined) sections.push(wrap(verb.description, 0));
  sections.push(`Usage: ${usageOf(verb)}`);
  if (verb.args.length > 0) {
    sections.push(
      `Arguments:\n${rowsOf(verb.args.map((spec) => [argumentName(spec), withChoices(spec.summary, spec.choices)]))}`.trimEnd(),
    );
  }
  if (Object.keys(verb.options).length > 0) sections.push(`Options:\n${optionRows(verb.options)}`.trimEnd());
  if (verb.examples.length > 0) {
    const examples = verb.examples.map(({ command, does }) => `  # ${does}\n  ${command}`);
    sections.push(`Examples:\n${examples.join("\n")}`);
  }
  sections.push("Global options such as --json, --quiet, --reason: `midctl --help`");
  return `${sections.join("\n\n")}\n`;
}

/** `midctl identity show REF [OPTIONS]`. */
export function usageOf(verb: Verb): string {
  const words = verb.args.map((spec) => {
    const name = `${argumentName(spec)}${spec.variadic === true ? "..." : ""}`;
    return spec.optional === true ? `[${name}]` : name;
  });
  const required = Object.entries(verb.options)
    .filter(([, spec]) => spec.required === true)
    .map(([name, spec]) => `${flagOf(name)} ${spec.value}`);
  const rest = Object.keys(verb.options).length > required.length ? ["[OPTIONS]"] : [];
  return ["midctl", ...verb.path, ...words, ...required, ...rest].join(" ");
}

function optionRows(options: Readonly<Record<string, OptionSpec>>): string {
  return rowsOf(
    Object.entries(options).map(([name, spec]) => {
      const notes = [
        ...(spec.required === true ? ["required"] : []),
        ...(spec.repeat === true ? ["repeatable"] : []),
        ...(spec.default === undefined ? [] : [`default ${spec.default}`]),
      ];
      const label = spec.value === undefined ? flagOf(name) : `${flagOf(name)} ${spec.value}`;
      const summary = withChoices(spec.summary, name in globalOptions ? undefined : spec.choices);
      return [label, notes.length === 0 ? summary : `${summary} (${notes.join(", ")})`];
    }),
  );
}

function withChoices(summary: string, choices: readonly string[] | undefined): string {
  return choices === undefined ? summary : `${summary}: ${choices.join(", ")}`;
}

function rowsOf(rows: readonly (readonly [string, string])[]): string {
  const width = Math.min(26, Math.max(0, ...rows.map(([label]) => label.length)));
  return rows
    .map(([label, text]) => {
      const wrapped = wrap(text, width + 4);
      return label.length > width
        ? `  ${label}\n${" ".repeat(width + 4)}${wrapped}\n`
        : `  ${label.padEnd(width)}  ${wrapped}\n`;
    })
    .join("");
}

/** Breaks a text at the line width; all lines but the first are indented. */
function wrap(text: string, indent: number): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/)) {
    if (line !== "" && indent + line.length + 1 + word.length > lineWidth) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].join(`\n${" ".repeat(indent)}`);
}
