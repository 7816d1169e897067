/** What holds the log's entries, beside the entries themselves. */

export interface LogFrame {
  /** Columns by which the log is searched that are not made from its entries. */
  readonly loose: readonly string[];
  /** Tables of the log on which row-level security is on: what they have is not shown to everybody. */
  readonly veiled: readonly string[];
  /** The log's first entry; null where there is none. */
  readonly first: string | null;
  /** The last entry that says what the environment is; null where there is none. */
  readonly last: string | null;
  /** Entries without an index. */
  readonly nameless: number;
  /** Schemas that the session would look into for the log next, and that have one, too. */
  readonly others: readonly string[];
  /** Whether names of PostgreSQL's own are looked for elsewhere first. */
  readonly isOvershadowed: boolean;
  /** Rows that there is to be one of: heads of the log, and environments. */
  readonly heads: number;
  readonly environments: number;
  /** What the environment is: its row; null where there is none. */
  readonly environment: Readonly<Record<string, unknown>> | null;
}

/** What of it is not as it was made, in sentences without their stop. */
export function frameFaults(frame: LogFrame): string[] {
  const { loose, first, last, nameless, environment } = frame;
  const faults = searchFaults(frame);
  if (loose.length > 0) {
    faults.push(
      `the columns by which the log is searched are not made from its entries any more (${loose.join(", ")}): \`midctl audit\` may leave entries out, or show others`,
    );
  }
  if (nameless > 0) faults.push(`${nameless} ${nameless === 1 ? "entry has" : "entries have"} no index`);
  if (environment === null) return faults;
  const id = first === null ? undefined : saidIn(first).databaseId;
  if (id !== undefined && id !== environment.databaseId) {
    faults.push(`the database calls itself ${environment.databaseId}, and by its first entry it is ${id}`);
  }
  const said = last === null ? {} : saidIn(last);
  const other = FIELDS.filter((field) => field in said && said[field] !== environment[field]);
  if (other.length > 0) {
    faults.push(
      `the environment is not what the log says that it is: ${other.map((field) => `${field} is ${String(environment[field])}, and was ${String(said[field])}`).join("; ")}`,
    );
  }
  return faults;
}

/** Whoever owns the database decides what a role is shown by a name. */
function searchFaults({ others, isOvershadowed, heads, environments }: LogFrame): string[] {
  const faults: string[] = [];
  if (others.length > 0) {
    faults.push(
      `the search path has another log behind the one that was read, in ${others.join(", ")}: which of them is the log, this role is not told`,
    );
  }
  if (isOvershadowed) {
    faults.push(
      "the search path names other schemas before pg_catalog: what goes by names of PostgreSQL's own may be somebody else's",
    );
  }
  if (heads > 1 || environments > 1) {
    faults.push(
      `there are ${heads} heads of the log and ${environments} environments, and one of each is to be`,
    );
  }
  return faults;
}

const FIELDS = ["name", "live", "protected"] as const;

/** What an entry about the environment says of it; nothing for another entry. */
function saidIn(entry: string): Readonly<Record<string, unknown>> {
  try {
    const { action, details } = JSON.parse(entry) as {
      readonly action?: unknown;
      readonly details?: unknown;
    };
    const isSaid =
      String(action).startsWith("environment.") && typeof details === "object" && details !== null;
    return isSaid ? (details as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}
