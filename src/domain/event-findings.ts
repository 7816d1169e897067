/** What is wrong with sealed agent events, named. An event is meant by its id, a batch by its entry in the log. */
import { type Finding, type FindingKind, MOST_FINDINGS } from "./log-findings.ts";

/** Events that are told by their public ids, or how many there are of them. */
interface Some {
  readonly count: number;
  readonly ids: readonly string[];
}

export class EventFindings {
  readonly #findings: Finding[] = [];
  #found = 0;

  altered(id: string): void {
    this.#tell("event_altered", id, `${nameOf(id)} was altered since it was sealed, or its seal was`);
  }

  removed(id: string): void {
    this.#tell(
      "event_removed",
      id,
      `${nameOf(id)} is removed, and no deletion of a workspace accounts for it`,
    );
  }

  /** Which of those that are gone, nobody can say. */
  removedBefore(workspace: string, count: number): void {
    const what = `${count === 1 ? "an event" : `${count} events`} of the workspace ${workspace}`;
    this.#tell("event_removed", null, `${what} went before it was deleted: its entry counts fewer`);
  }

  /** @param count of those that went */
  otherThanPruned(workspace: string, count: number): void {
    const what = `${count === 1 ? "the event" : `the ${count} events`} that went with the workspace ${workspace}`;
    this.#tell("event_altered", null, `seals of ${what} were altered since, or given to others`);
  }

  /** @param entry index of the batch's */
  unsealed(entry: number, count: number): void {
    const what =
      count === 1 ? "an event is removed with its seal" : `${count} events are removed with their seals`;
    this.#tell("event_removed", null, `${what}, of the batch of entry ${entry}`);
  }

  /** @param id of the only event of the batch; null where it has more */
  resealed(entry: number, id: string | null): void {
    const what = id === null ? "events were" : `${nameOf(id)} was`;
    this.#tell("event_altered", id, `${what} altered or moved with the seal, in the batch of entry ${entry}`);
  }

  /** @param ids of those that were put in, where that can be told */
  added(entry: number, count: number, ids: readonly string[]): void {
    const where = `into the batch of entry ${entry}`;
    if (ids.length > 0) this.#each({ count, ids }, (name) => `${name} was put ${where} with a seal`);
    else
      this.#tell(
        "event_inserted",
        null,
        `${count === 1 ? "an event was" : `${count} events were`} put ${where} with a seal`,
      );
  }

  /** Neither sealed nor waiting to be. */
  unqueued(events: Some): void {
    this.#each(
      events,
      (name) => `${name} was put in past the triggers: it is not sealed and does not wait to be`,
    );
  }

  /** In a batch that no entry of the log tells of. */
  untold(events: Some): void {
    this.#each(events, (name) => `${name} was put in with a seal of which no entry of the log tells`);
  }

  result(): { readonly findings: readonly Finding[]; readonly found: number } {
    return { findings: this.#findings, found: this.#found };
  }

  #each({ count, ids }: Some, says: (name: string) => string): void {
    for (const id of ids) this.#tell("event_inserted", id, says(nameOf(id)));
    this.#found += count - ids.length;
  }

  #tell(kind: FindingKind, id: string | null, says: string): void {
    this.#found++;
    if (this.#findings.length === MOST_FINDINGS) return;
    this.#findings.push({ kind, from: null, to: null, event: id === null ? null : nameOf(id), says });
  }
}

function nameOf(id: string): string {
  return `ev_${id}`;
}
