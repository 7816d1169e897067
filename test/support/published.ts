import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Ajv2020, type ErrorObject } from "ajv/dist/2020.js";

const schemas = resolve(import.meta.dirname, "../../docs/schema");

/** What a reader who has only docs/schema would find wrong with a document of that command; empty where nothing is. */
export function faultsByPublished(path: string, document: unknown): readonly ErrorObject[] {
  const schema = JSON.parse(readFileSync(resolve(schemas, `${path.replaceAll(" ", "-")}.json`), "utf8"));
  const validate = new Ajv2020({ allErrors: true, allowUnionTypes: true, strict: true }).compile(schema);
  return validate(document) ? [] : (validate.errors ?? []);
}
