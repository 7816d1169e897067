import { defineConfig } from "drizzle-kit";

/**
 * `npm run generate` writes the SQL of all tables into dist/schema, as the draft of a migration: copy what is new into the
 * next file of migrations/ and add by hand what drizzle-kit does not know (guards, rights). Nothing is applied from there.
 */
export default defineConfig({
  dialect: "postgresql",
  schema: "./src/db/schema.ts",
  out: "./dist/schema",
});
