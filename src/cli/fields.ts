/** `--fields a,b`: which fields there are, and a document with only those. */
import type { $ZodType } from "zod/v4/core";
import { MidctlError } from "../domain/errors.ts";
import { nearest } from "./suggest.ts";
import type { Document, Verb } from "./verb.ts";

/**
 * Refuses fields that no result of the verb can have, before anything is done. Names are paths such as
 * `credential.id`, looked up in each element of the verb's list or, without one, in the document.
 */
export function checkFields(verb: Verb, fields: readonly string[]): void {
  const known = fieldsOf(verb);
  for (const field of fields) {
    if (field === "")
      throw new MidctlError("usage", "--fields: a name is missing beside a comma", {
        hint: "such as --fields slug,owner",
      });
    if (known.some((path) => path === field || (path.endsWith(".*") && field.startsWith(path.slice(0, -1)))))
      continue;
    const meant = nearest(field, known);
    throw new MidctlError("usage", `--fields: there is no field ${field}`, {
      hint: meant === undefined ? `there are: ${known.join(", ")}` : `did you mean ${meant}?`,
    });
  }
}

/** Every path that `--fields` takes for this verb. */
export function fieldsOf(verb: Verb): readonly string[] {
  const paths = new Set<string>();
  for (const root of rootsOf(verb)) collectPaths(root, "", paths);
  return [...paths];
}

/** The document reduced to these fields; a list's elements are reduced, the rest of its document stays. */
export function selectFields(
  document: Document,
  listKey: string | undefined,
  fields: readonly string[],
): Document {
  if (listKey === undefined) return reduce(document, fields);
  const elements = document[listKey] as readonly Document[];
  return { ...document, [listKey]: elements.map((element) => reduce(element, fields)) };
}

function reduce(element: Document, fields: readonly string[]): Document {
  const reduced: Record<string, unknown> = {};
  // What is asked for whole holds its parts already; a part written into it would change the document itself.
  const outermost = fields.filter((field) => !fields.some((other) => field.startsWith(`${other}.`)));
  for (const field of outermost) {
    const keys = field.split(".");
    let from: unknown = element;
    let into = reduced;
    keys.forEach((key, depth) => {
      const held = typeof from === "object" && from !== null && Object.hasOwn(from, key);
      from = held ? (from as Record<string, unknown>)[key] : null;
      if (depth === keys.length - 1 || typeof from !== "object" || from === null) into[key] ??= from;
      else {
        into[key] ??= {};
        into = into[key] as Record<string, unknown>;
      }
    });
  }
  return reduced;
}

/** The parts of zod's definitions that are walked here; all are of its documented core. */
interface Definition {
  readonly type: string;
  readonly shape?: Readonly<Record<string, $ZodType>>;
  readonly element?: $ZodType;
  readonly innerType?: $ZodType;
  readonly options?: readonly $ZodType[];
  readonly left?: $ZodType;
  readonly right?: $ZodType;
}

function definitionOf(schema: $ZodType): Definition {
  return schema._zod.def as unknown as Definition;
}

function rootsOf(verb: Verb): readonly $ZodType[] {
  const documents = alternativesOf(verb.output);
  if (verb.list.length === 0) return documents;
  return documents.flatMap((document) => {
    const shape = definitionOf(document).shape ?? {};
    const elements = verb.list.flatMap((key) => {
      const list = shape[key];
      const element =
        list === undefined
          ? undefined
          : alternativesOf(list)
              .map(definitionOf)
              .find((def) => def.element)?.element;
      return element === undefined ? [] : alternativesOf(element);
    });
    return elements.length > 0 ? elements : [document];
  });
}

/** A schema without optional, nullable, union and intersection around it. */
function alternativesOf(schema: $ZodType): readonly $ZodType[] {
  const { innerType, options, left, right } = definitionOf(schema);
  if (innerType !== undefined) return alternativesOf(innerType);
  if (options !== undefined) return options.flatMap(alternativesOf);
  if (left !== undefined && right !== undefined) return [left, right].flatMap(alternativesOf);
  return [schema];
}

function collectPaths(schema: $ZodType, prefix: string, paths: Set<string>): void {
  for (const [key, value] of Object.entries(definitionOf(schema).shape ?? {})) {
    const path = `${prefix}${key}`;
    paths.add(path);
    for (const alternative of alternativesOf(value)) {
      const { type } = definitionOf(alternative);
      if (type === "object") collectPaths(alternative, `${path}.`, paths);
      if (type === "record" || type === "any" || type === "unknown") paths.add(`${path}.*`);
    }
  }
}
