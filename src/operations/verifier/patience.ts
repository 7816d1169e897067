import { MidctlError } from "../../domain/errors.ts";

/** How long the database may take over a decision, ms: by then the bearer is told that nobody can say. */
export const DEFAULT_PATIENCE = 5000;

/** What `answer` comes to; throws `unavailable` where that takes longer than `ms`. What it does is not undone. */
export function within<T>(ms: number, answer: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new MidctlError("unavailable", "The database did not answer in time.")),
      ms,
    );
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
