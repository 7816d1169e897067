import { afterAll, beforeAll, expect, test } from "vitest";
import { type Desk, openDesk } from "../process/desk.ts";
import { until } from "../verifier/scene.ts";
import { startServe } from "./program.ts";

let desk: Desk;

beforeAll(async () => {
  desk = await openDesk();
});
afterAll(() => desk.dispose());

const write = (publicId: string) =>
  desk.sql(`INSERT INTO agent_audit_event ("publicId", action) VALUES ($1, 'card.move')`, [publicId]);
const readSeals = () =>
  desk.sql<{ batch: number }>(
    `SELECT (entry::jsonb #>> '{details,batch}')::int AS batch FROM midctl_log WHERE action = 'events.seal' ORDER BY "index"`,
  );

test("midctl serve seals what agents did, as it comes and without being asked", async () => {
  const { stderr } = await startServe(desk.env);

  for (const batch of [1, 2]) {
    await write(`event000000${batch}`);
    await until(async () => (await readSeals()).length === batch);
  }

  expect(await readSeals()).toEqual([{ batch: 1 }, { batch: 2 }]);
  expect(stderr()).toBe("");
});
