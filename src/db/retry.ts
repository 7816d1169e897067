import { readSqlState } from "./failure.ts";

const RETRIES = 3;
const CONFLICTS = new Set(["40001", "40P01"]);

/**
 * Runs a whole transaction again, up to 3 times, where it fell to a serialization failure or a deadlock. Between two
 * attempts no lock is held; the pause (up to 20, 40, 80 ms) is random, so that two that met do not meet again.
 */
export async function retryConflicts<T>(attempt: () => Promise<T>): Promise<T> {
  for (let failures = 0; ; failures += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (failures === RETRIES || !CONFLICTS.has(readSqlState(error) ?? "")) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20 * 2 ** failures));
    }
  }
}
