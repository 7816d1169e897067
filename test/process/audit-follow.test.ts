import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openPostgres } from "../../src/db/postgres.ts";
import { faultsByPublished } from "../support/published.ts";
import { type Answer, type Desk, openDesk } from "./desk.ts";
import { openFollowing } from "./following.ts";

let desk: Desk;
let count = 0;

beforeAll(async () => {
  desk = await openDesk();
  await desk.sql(
    `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash") VALUES ('legacy000001', 'old', 'kan', repeat('0a', 32))`,
  );
});
afterAll(() => desk.dispose());

const follow = (words = "") => openFollowing(desk, words);
const newSlug = () => `bot-${++count}`;
const EVENT = (id: string) =>
  `INSERT INTO agent_audit_event ("publicId", "agentTokenId", action, "createdAt") SELECT '${id}', id, 'card.move', midctl_now() FROM agent_token WHERE "publicId" = 'legacy000001'`;

const briefly = ({ action, machineIdentity }: Answer) => `${action} ${machineIdentity?.slug ?? ""}`.trim();

describe("`audit follow`", () => {
  it("prints what is committed from then on, one JSON line each, and ends by SIGINT with exit 130", async () => {
    const following = await follow();
    const slug = await desk.identity(newSlug());
    await desk.ask(`pause ${slug}`);

    expect((await following.printed(2)).map(briefly)).toEqual([
      `identity.create ${slug}`,
      `identity.pause ${slug}`,
    ]);
    expect(await following.stop()).toBe(130);
    expect(following.events()).toHaveLength(2);
  });

  it("prints lines of its published schema", async () => {
    const following = await follow();
    await desk.identity(newSlug());
    const [line] = await following.printed(1);
    await following.stop();

    expect(faultsByPublished("audit follow", line)).toEqual([]);
  });

  it("narrows down like the list, and knows who was born into a tree since", async () => {
    const root = await desk.identity(newSlug());
    const following = await follow(`--identity ${root} --descendants --action identity.*`);
    await desk.identity(newSlug());
    const child = await desk.identity(newSlug(), "--parent", root);
    await desk.ask(`pause ${root}`);

    expect((await following.printed(2)).map(briefly)).toEqual([
      `identity.create ${child}`,
      `identity.pause ${root}`,
    ]);
    await following.stop();
  });

  it("goes on from an entry on, and from a moment on", async () => {
    const slug = await desk.identity(newSlug());
    await desk.ask(`pause ${slug}`);
    const [{ index, at }] = (await desk.ask(`audit --identity ${slug}`)).events;

    const byIndex = await follow(`--from log_${index}`);
    const byTime = await follow(`--since ${at} --identity ${slug}`);

    expect(briefly((await byIndex.printed(1))[0])).toBe(`identity.pause ${slug}`);
    expect(briefly((await byTime.printed(1))[0])).toBe(`identity.pause ${slug}`);
    await Promise.all([byIndex.stop(), byTime.stop()]);
  });

  it("gives an agent's event that committed after later ones, and each of them once", async () => {
    const slow = openPostgres({ url: desk.directUrl }, { max: 1, applicationName: "second connection" });
    await slow.query("BEGIN");
    await slow.query(EVENT("begunbefore1"));
    const following = await follow("--action card.move");
    await desk.sql(EVENT("second000001"));
    await following.printed(1);
    await slow.query("COMMIT");
    await slow.query("BEGIN");
    await slow.query(EVENT("third0000001"));
    await desk.sql(EVENT("fourth000001"));
    await following.printed(3);
    await slow.query("COMMIT");

    const ids = (await following.printed(4)).map(({ id }) => id);
    expect(ids).toEqual(["ev_second000001", "ev_begunbefore1", "ev_fourth000001", "ev_third0000001"]);
    await slow.close();
    await following.stop();
    expect(following.events()).toHaveLength(4);
  });

  it("leaves nothing out and gives nothing twice where its connections are cut again and again", async () => {
    const following = await follow("--action identity.create");
    const made: string[] = [];
    for (let round = 0; round < 10; round++) {
      await desk.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'midctl' AND pid <> pg_backend_pid()",
      );
      const slug = newSlug();
      made.push(slug);
      await desk.sql(
        `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner) VALUES (lpad('${slug.replace("-", "")}', 12, '0'), '${slug}', 'x', 'service', 'x')`,
      );
    }

    expect((await following.printed(10)).map(({ machineIdentity }) => machineIdentity.slug)).toEqual(made);
    expect(following.stderr()).toContain("it is tried until it is back");
    expect(await following.stop()).toBe(130);
  });

  it("ends with exit 5 where the log was restored from before", async () => {
    const other = await openDesk();
    const slug = "bot";
    await other.identity(slug);
    const following = await openFollowing(other);
    await other.ask(`pause ${slug}`);
    await following.printed(1);

    await other.sql(
      `DO $do$ BEGIN ALTER TABLE midctl_log DISABLE TRIGGER USER; ALTER TABLE midctl_log_head DISABLE TRIGGER USER;
        DELETE FROM midctl_log WHERE "index" = (SELECT max("index") FROM midctl_log); UPDATE midctl_log_head SET size = size - 1; END $do$`,
    );

    expect(await following.ended).toBe(5);
    expect(following.stderr()).toContain("restored from before");
    await other.dispose();
  });

  it.each([
    ["audit follow --from log_4711000", "the one to come"],
    ["audit follow --from ev_1", "log_4711"],
    ["audit follow --from log_1 --since 1h", "one of them"],
  ])("refuses `%s`", async (words, hint) => {
    expect(await desk.refuse(words)).toMatchObject({ exit: 2, hint: expect.stringContaining(hint) });
  });
});
