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

  test("demands the schema version in every document, and in no line of what has no end", () => {
    for (const [name, text] of files) {
      if (!name.startsWith("schema/")) continue;
      const holds = text.includes('"schemaVersion": {\n');
      expect(holds, name).toBe(name !== "schema/audit-follow.json");
    }
  });

  test("refuses no field that a later midctl may add", () => {
    for (const [name, text] of files) {
      if (name.startsWith("schema/")) expect(text, name).not.toContain('"additionalProperties": false');
    }
  });
});
