/** One statement of a migration, and what it locks. */
export interface Statement {
  readonly sql: string;
  /** On tables that were there before; what a statement itself makes is nobody's yet. */
  readonly locks: readonly TableLock[];
}

export interface TableLock {
  readonly table: string;
  /** As PostgreSQL calls it: `ACCESS EXCLUSIVE` stops everybody, `SHARE ROW EXCLUSIVE` writers, `SHARE UPDATE EXCLUSIVE` neither. */
  readonly mode: string;
}

/** Strings, quoted names, dollar quotes and comments may hold a semicolon; `--` before a statement is its comment. */
const TOKEN = /--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^']|'')*'|"(?:[^"]|"")*"|(\$\w*\$)[\s\S]*?\1|;|[^;]/gy;

/**
 * Takes a migration apart. What a statement locks is read from its words, or from a comment before it that begins with
 * `-- locks:` where its words hide it (a DO block).
 */
export function splitStatements(text: string): Statement[] {
  const statements: Statement[] = [];
  let comment = "";
  let sql = "";
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === ";") {
      statements.push({ sql: sql.trim(), locks: readLocks(sql.trim(), comment) });
      comment = sql = "";
    } else if (sql.trim() === "" && token.startsWith("--")) {
      comment += `${token}\n`;
    } else {
      sql += token;
    }
  }
  if (sql.trim() !== "") statements.push({ sql: sql.trim(), locks: readLocks(sql.trim(), comment) });
  return statements;
}

/** Of the index that a statement builds while others work on; null for any other statement. */
export function readIndexName(sql: string): string | null {
  return /^CREATE INDEX CONCURRENTLY IF NOT EXISTS (\w+) ON /.exec(sql)?.[1] ?? null;
}

/** PostgreSQL's documentation, "Explicit Locking", and of each statement. */
const RULES: readonly (readonly [RegExp, string])[] = [
  [/^CREATE INDEX CONCURRENTLY IF NOT EXISTS \w+ ON (\w+)/, "SHARE UPDATE EXCLUSIVE"],
  [/^CREATE INDEX (?:IF NOT EXISTS )?"?\w+"? ON "?(\w+)"?/, "SHARE"],
  [/^CREATE (?:CONSTRAINT )?TRIGGER \w+ [\s\S]*? ON (\w+)/, "SHARE ROW EXCLUSIVE"],
  [/^ALTER TABLE "?(\w+)"? (?:ENABLE ALWAYS TRIGGER|ADD CONSTRAINT)/, "SHARE ROW EXCLUSIVE"],
  [/^ALTER TABLE "?(\w+)"?/, "ACCESS EXCLUSIVE"],
  [/^ALTER TABLE [\s\S]*\bREFERENCES "?(\w+)"?/, "SHARE ROW EXCLUSIVE"],
];

function readLocks(sql: string, comment: string): TableLock[] {
  const said = /^-- locks: (.+)$/m.exec(comment)?.[1];
  if (said !== undefined) {
    return said.split(", ").map((lock) => {
      const [table = "", ...mode] = lock.split(" ");
      return { table, mode: mode.join(" ") };
    });
  }
  const locks: TableLock[] = [];
  for (const [pattern, mode] of RULES) {
    const table = pattern.exec(sql)?.[1];
    if (table !== undefined && !locks.some((lock) => lock.table === table)) locks.push({ table, mode });
  }
  return locks;
}
