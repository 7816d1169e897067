import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { renderReference } from "../../src/cli/reference.ts";

const docs = resolve(import.meta.dirname, "../../docs");
const files = await renderReference();

describe("the reference in docs/", () => {
  test.each([...files.keys()])("%s is what the commands say (else: node build.mjs --docs)", (name) => {
    expect(readFileSync(join(docs, name), "utf8")).toBe(files.get(name));
  });

  test("has no schema of a command that is gone", () => {
    const schemas = [...files.keys()].filter((name) => name.startsWith("schema/"));

    expect(
      readdirSync(join(docs, "schema"))
        .map((name) => `schema/${name}`)
        .sort(),
    ).toEqual(schemas.sort());
  });

  test("demands the schema version in every document", () => {
    for (const [name, text] of files) {
      if (name.startsWith("schema/")) expect(text, name).toContain('"schemaVersion": {\n');
    }
  });
});
