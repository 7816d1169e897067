import type { Database } from "../../src/db/database.ts";

/**
 * Reads a table in a transaction that stays open, as somebody does who has gone for coffee.
 * @param holder a connection that nothing else uses
 * @returns what ends it
 */
export async function holdTable(holder: Database, table: string): Promise<() => Promise<void>> {
  let letGo = () => {};
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  let transaction: Promise<void> = Promise.resolve();
  await new Promise<void>((begun, failed) => {
    transaction = holder.transaction(async (tx) => {
      await tx.query(`SELECT FROM ${table}`);
      begun();
      await held;
    });
    transaction.catch(failed);
  });
  return () => {
    letGo();
    return transaction;
  };
}
