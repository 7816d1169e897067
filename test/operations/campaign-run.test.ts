import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { MidctlError } from "../../src/domain/errors.ts";
import { createToken, type Token } from "../../src/domain/token.ts";
import { beginCampaign, chooseTargets } from "../../src/operations/campaign/begin.ts";
import type { Delivery } from "../../src/operations/campaign/delivery.ts";
import { readAllTargets } from "../../src/operations/campaign/read.ts";
import { type Progress, runCampaign } from "../../src/operations/campaign/run.ts";
import type { CampaignTerms } from "../../src/operations/campaign/terms.ts";
import { rotateCredential } from "../../src/operations/credential-rotate.ts";
import { previewIssuance } from "../../src/operations/issuance.ts";
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

/** A database whose transactions write down by which statements credentials are made. */
function watch(db: Database, inserts: string[]): Database {
  return {
    ...{ concurrent: db.concurrent, listen: db.listen.bind(db), close: () => db.close() },
    query: (text, params) => db.query(text, params),
    transaction: (work) =>
      db.transaction((tx) =>
        work({
          script: (text) => tx.script(text),
          query: (text, params) => {
            if (text.includes("INSERT INTO machine_identity_credential")) inserts.push(text);
            return tx.query(text, params);
          },
        }),
      ),
  };
}

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
  function deliverBy(
    settle: () => void,
    deliver: () => Promise<void> = async () => undefined,
    secrets: ReadonlyMap<string, Token> = new Map(),
  ): Delivery {
    return {
      prepare: async ({ slug }) => ({
        ...{ commitment: secrets.get(slug) ?? createToken("test", randomBytes), lasts: true },
        ...{ standing: null, deliver },
        ...{ forget: () => undefined, discard: () => undefined },
      }),
      settle: async () => settle(),
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

  test("tries again at its turn what had no room while the one before it was on its way", async () => {
    let kept = 0;
    const delivery: Delivery = {
      prepare: async () => {
        if (kept === 1) throw new MidctlError("undeliverable", "The disk is full.");
        kept += 1;
        return {
          ...{ commitment: createToken("test", randomBytes), lasts: true, standing: null },
          deliver: async () => {
            kept -= 1;
          },
          ...{ forget: () => undefined, discard: () => undefined },
        };
      },
      settle: async () => undefined,
    };
    const small = { ...TERMS, batch: 1, maxFailures: 0 };
    const begun = await beginCampaign(db, ALICE, small, await chooseTargets(db, { slugs: SLUGS }, CHOOSING));

    const ended = await runCampaign(db, ALICE, begun.id, by(delivery), HOOKS);

    expect(ended).toMatchObject({ status: "done", delivered: 2, failed: 0 });
  });

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

  test("takes back what it made ahead of a campaign that stops", async () => {
    const taken: string[] = [];
    const delivery: Delivery = {
      prepare: async ({ slug }) => {
        if (slug === "bot-1") throw new MidctlError("undeliverable", "The disk is full.");
        return {
          ...{ commitment: createToken("test", randomBytes), lasts: true, standing: null },
          ...{ deliver: async () => undefined, forget: () => undefined, discard: () => taken.push(slug) },
        };
      },
      settle: async () => undefined,
    };
    const terms = { ...TERMS, batch: 1, maxFailures: 0 };
    const chosen = await chooseTargets(db, { slugs: SLUGS }, CHOOSING);
    const small = await beginCampaign(db, ALICE, terms, chosen);

    const ended = await runCampaign(db, ALICE, small.id, by(delivery), HOOKS);

    expect(ended).toMatchObject({ status: "stopped", failed: 1, delivered: 0 });
    expect(taken).toEqual(["bot-2"]);
    expect(await issued()).toBe(0);
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

  test("tells after each batch how far it has come, with what failed before and did not now", async () => {
    const told: unknown[] = [];
    const hooks = { ...HOOKS, onProgress: (progress: Progress) => told.push(progress) };
    const run = (delivery: Delivery) => runCampaign(db, ALICE, id, by(delivery), hooks);

    await run(deliverBy(refuseAt(1)));
    await run(deliverBy(() => undefined));

    expect(told).toMatchObject([
      { targets: 2, delivered: 0, failed: 2 },
      { targets: 2, delivered: 2, failed: 0 },
    ]);
  });

  test("writes the rows of all in one statement", async () => {
    const inserts: string[] = [];

    await runCampaign(watch(db, inserts), ALICE, id, by(deliverBy(() => undefined)), HOOKS);

    expect(await states()).toEqual(["delivered", "delivered"]);
    expect(inserts).toHaveLength(1);
  });

  const rotateByHand = async (slug: string) => {
    const secret = createToken("test", randomBytes);
    const rotation = { ...TERMS, identity: slug, secret, replacePending: false, expectCurrent: null };
    await rotateCredential(db, ALICE, rotation, await previewIssuance(db, slug, "default"));
  };
  const set = (table: string, status: string, where: string) =>
    db.query(`UPDATE ${table} SET status = '${status}' WHERE ${where}`);

  test.each([
    ["is revoked", () => set("machine_identity", "revoked", "slug = 'bot-2'"), "bot-2 is revoked"],
    [
      "has expired",
      () => db.query(`UPDATE machine_identity SET "expiresAt" = midctl_now() WHERE slug = 'bot-2'`),
      "bot-2 has expired",
    ],
    ["has been given another", () => rotateByHand("bot-2"), "bot-2 has a pending credential"],
    [
      "was rotated meanwhile",
      async () => {
        await rotateByHand("bot-2");
        await set("machine_identity_credential", "active", "status = 'pending'");
      },
      "The current credential of bot-2 is",
    ],
  ])("rotates the others where one %s, and says of that one why not", async (_, hinder, why) => {
    await hinder();

    await runCampaign(db, ALICE, id, by(deliverBy(() => undefined)), HOOKS);

    const [first, second] = await readAllTargets(db, id);
    expect(first).toMatchObject({ state: "delivered", problem: null });
    expect(second).toMatchObject({ state: "failed", problem: expect.stringContaining(why) });
  });

  test("goes on with the secrets that were issued", async () => {
    const secrets = new Map(SLUGS.map((slug) => [slug, createToken("test", randomBytes)]));
    await runCampaign(db, ALICE, id, by(deliverBy(refuseAt(2), undefined, secrets)), HOOKS);

    await runCampaign(db, ALICE, id, by(deliverBy(() => undefined, undefined, secrets)), HOOKS);

    expect(await states()).toEqual(["delivered", "delivered"]);
    expect(await issued()).toBe(2);
  });

  test("delivers no secret whose credential has ended since it was issued", async () => {
    const secrets = new Map(SLUGS.map((slug) => [slug, createToken("test", randomBytes)]));
    await runCampaign(db, ALICE, id, by(deliverBy(refuseAt(2), undefined, secrets)), HOOKS);
    const ended = `mc_${secrets.get("bot-2")?.publicId}`;
    await set("machine_identity_credential", "revoked", `"publicId" = '${ended.slice(3)}'`);

    await runCampaign(db, ALICE, id, by(deliverBy(() => undefined, undefined, secrets)), HOOKS);

    const [first, second] = await readAllTargets(db, id);
    expect(first).toMatchObject({ state: "delivered" });
    expect(second).toMatchObject({
      state: "failed",
      problem: expect.stringContaining(`${ended} of bot-2 already (revoked)`),
    });
  });

  test("makes a secret that was lost anew, in the place of the one that nobody used", async () => {
    await runCampaign(db, ALICE, id, by(deliverBy(refuseAt(2))), HOOKS);

    await runCampaign(db, ALICE, id, by(deliverBy(() => undefined)), HOOKS);

    expect(await states()).toEqual(["delivered", "delivered"]);
    expect(await issued()).toBe(2);
  });
});
