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
  // The key of what may be a host's own bears the host's name for it.
  const constraints = await pg.query(
    `SELECT c.relname AS table, k.conname AS name, k.convalidated AS validated FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
      WHERE (c.relname LIKE 'midctl\\_%' AND k.contype IN ('c', 'u', 'p', 'f'))
         OR (c.relname IN ('machine_identity', 'machine_identity_credential') AND k.contype IN ('c', 'u', 'f')) ORDER BY 1, 2`,
  );
  await pg.close();
  const rows = triggers.rows.map(({ table, trigger }) => `  { table: "${table}", trigger: "${trigger}" },\n`);
  const hashes = functions.rows.map(
    ({ name, source }) => `  ${name}: "${createHash("sha256").update(source).digest("hex")}",\n`,
  );
  const rules = constraints.rows.map(
    ({ table, name, validated }) => `  ["${table}", "${name}", ${validated}],\n`,
  );
  return `/** What guards a database: generated from migrations/ by \`npm run generate:guards\`. */

export const GUARD_TRIGGERS: readonly { readonly table: string; readonly trigger: string }[] = [
${rows.join("")}];

/** Function name to SHA-256 of its source, hex. */
export const GUARD_FUNCTIONS: Readonly<Record<string, string>> = {
${hashes.join("")}};

/** Of our own tables; whether each holds for the rows that there were when it was made, too. */
export const GUARD_CONSTRAINTS: readonly (readonly [table: string, name: string, validated: boolean])[] = [
${rules.join("")}];
`;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  writeFileSync(new URL("src/db/guards.ts", root), await renderGuards());
}
