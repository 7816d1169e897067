import { MidctlError } from "../domain/errors.ts";

/** What `answer` comes to, or `late()` where that takes longer than `ms`. What the answer's work does is not undone. */
export function within<T>(ms: number, answer: Promise<T>, late: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      try {
        resolve(late());
      } catch (error) {
        reject(error);
      }
    }, ms);
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** For a database that takes too long over a decision: by then the bearer is told that nobody can say. */
export function refuseLate(): never {
  throw new MidctlError("unavailable", "The database did not answer in time.");
}
