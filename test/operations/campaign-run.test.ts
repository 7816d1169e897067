import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { MidctlError } from "../../src/domain/errors.ts";
import { createToken } from "../../src/domain/token.ts";
import { beginCampaign, chooseTargets } from "../../src/operations/campaign/begin.ts";
import type { Delivery } from "../../src/operations/campaign/delivery.ts";
import { readAllTargets } from "../../src/operations/campaign/read.ts";
import { runCampaign } from "../../src/operations/campaign/run.ts";
import type { CampaignTerms } from "../../src/operations/campaign/terms.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { ALICE, issueActive } from "../verifier/scene.ts";

const TERMS: CampaignTerms = {
  ...{ name: "default", scopes: null, expiresIn: 3600, activateWithin: 3600, grace: 60, delivery: "files" },
  ...{ batch: 50, pause: 0, checked: false, maxFailures: 9, reason: null },
  ...{ compromised: false, runbook: null },
};
const HOOKS = { health: async () => null, onProgress: () => undefined, stopping: () => false };
const CHOOSING = { name: "default", replacePending: false, compromised: false, places: null };
const SLUGS = ["bot-1", "bot-2"];

describe.each(databases())("a campaign on $name", (factory) => {
  let database: TestDatabase;
  let db: Database;
  let id: string;
  beforeEach(async () => {
    database = await factory.create();
    db = database.db;
    for (const slug of SLUGS) await issueActive(db, slug);
    ({ id } = await beginCampaign(db, ALICE, TERMS, await chooseTargets(db, { slugs: SLUGS }, CHOOSING)));
  });
  afterEach(() => database.dispose());

  const states = async () => (await readAllTargets(db, id)).map(({ state }) => state);
  const issued = async () =>
    (await db.query(`SELECT FROM machine_identity_credential WHERE status = 'pending'`)).length;

  /** Makes secrets that last, and settles as told. */
  function deliverBy(settle: () => void, deliver: () => Promise<void> = async () => undefined): Delivery {
    return {
      prepare: () => ({
        ...{ commitment: createToken("test", randomBytes), lasts: true, standing: null, deliver },
        ...{ forget: () => undefined, discard: () => undefined },
      }),
      settle,
    };
  }
  const by = (delivery: Delivery) => ({
    delivery,
    again: "",
    trust: () => expect.fail("asked for a trust root"),
  });
  const refuseAt = (call: number) => {
    let calls = 0;
    return () => {
      calls += 1;
      if (calls === call) throw new MidctlError("undeliverable", "The disk reports an error.");
    };
  };

  test("has secrets on disk before their rows are committed, and delivered before the journal says so", async () => {
    const steps: string[] = [];
    const settling = deliverBy(
      () => steps.push("settle"),
      async () => void steps.push("deliver"),
    );

    await runCampaign(db, ALICE, id, by(settling), HOOKS);

    expect(steps).toEqual(["settle", "deliver", "deliver", "settle"]);
    expect(await states()).toEqual(["delivered", "delivered"]);
  });

  test("issues nothing where the disk does not take the secrets", async () => {
    const ended = await runCampaign(db, ALICE, id, by(deliverBy(refuseAt(1))), HOOKS);

    expect(ended).toMatchObject({ status: "stopped", failed: 2, delivered: 0 });
    expect(await issued()).toBe(0);
  });

  test("does not say that a secret was delivered where the disk may forget its name", async () => {
    const ended = await runCampaign(db, ALICE, id, by(deliverBy(refuseAt(2))), HOOKS);

    expect(ended).toMatchObject({ status: "stopped", delivered: 0 });
    expect(await states()).toEqual(["issued", "issued"]);
    expect(await issued()).toBe(2);
  });
});
