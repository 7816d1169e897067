/** What holds the log's entries, beside the entries themselves. */

export interface LogFrame {
  /** Columns by which the log is searched that are not made from its entries. */
  readonly loose: readonly string[];
  /** Tables of the log on which row-level security is on: what they have is not shown to everybody. */
  readonly veiled: readonly string[];
  /** The log's first entry; null where there is none. */
  readonly first: string | null;
  /** The database's id; null where it has none. */
  readonly id: string | null;
}

/** What of it is not as it was made, in sentences without their stop. */
export function frameFaults({ loose, first, id }: LogFrame): string[] {
  const faults: string[] = [];
  if (loose.length > 0) {
    faults.push(
      `the columns by which the log is searched are not made from its entries any more (${loose.join(", ")}): \`midctl audit\` may leave entries out, or show others`,
    );
  }
  const made = first === null ? null : idIn(first);
  if (made !== null && id !== null && made !== id) {
    faults.push(`the database calls itself ${id}, and by its first entry it is ${made}`);
  }
  return faults;
}

/** The database's id by the entry with which it began; null for another entry. */
function idIn(entry: string): string | null {
  try {
    const { action, details } = JSON.parse(entry) as {
      readonly action?: unknown;
      readonly details?: unknown;
    };
    const id = (details as { readonly databaseId?: unknown } | null | undefined)?.databaseId;
    return action === "environment.create" && typeof id === "string" ? id : null;
  } catch {
    return null;
  }
}
