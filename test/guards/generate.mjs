/** Writes src/db/guards.ts from the migrations: what `doctor` expects to find in a database. `npm run generate:guards` */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { PGlite } from "@electric-sql/pglite";

const root = new URL("../../", import.meta.url);

/** The file's text for the migrations as they stand. */
export async function renderGuards() {
  const pg = new PGlite();
  const names = readdirSync(new URL("migrations/", root)).filter((name) => name.endsWith(".sql"));
  // PGlite is one session, and no build goes on beside another.
  for (const name of names.sort()) {
    const text = readFileSync(new URL(`migrations/${name}`, root), "utf8");
    await pg.exec(text.replaceAll(" CONCURRENTLY", ""));
  }
  const triggers = await pg.query(
    `SELECT c.relname AS table, t.tgname AS trigger FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
      WHERE NOT t.tgisinternal AND t.tgname LIKE 'midctl\\_%' ORDER BY 1, 2`,
  );
  const functions = await pg.query(
    `SELECT proname AS name, prosrc AS source FROM pg_proc WHERE proname LIKE 'midctl\\_%' ORDER BY 1`,
  );
  await pg.close();
  const rows = triggers.rows.map(({ table, trigger }) => `  { table: "${table}", trigger: "${trigger}" },\n`);
  const hashes = functions.rows.map(
    ({ name, source }) => `  ${name}: "${createHash("sha256").update(source).digest("hex")}",\n`,
  );
  return `/** What guards a database: generated from migrations/ by \`npm run generate:guards\`. */

export const GUARD_TRIGGERS: readonly { readonly table: string; readonly trigger: string }[] = [
${rows.join("")}];

/** Function name to SHA-256 of its source, hex. */
export const GUARD_FUNCTIONS: Readonly<Record<string, string>> = {
${hashes.join("")}};
`;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  writeFileSync(new URL("src/db/guards.ts", root), await renderGuards());
}
