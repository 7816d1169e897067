import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Answer } from "./desk.ts";
import { openProtectedDesk, type ProtectedDesk } from "./protected-desk.ts";

/** `identity import` where nothing changes without an approval: one plan, a line for each line of the file. */
let production: ProtectedDesk;

beforeAll(async () => {
  production = await openProtectedDesk({ quorum: 1 }, (desk) => desk.identity("root"));
});
afterAll(() => production.dispose());

function write(name: string, lines: readonly object[]): string {
  const path = join(production.directory, name);
  writeFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  return name;
}

async function prepare(name: string): Promise<string> {
  const words = `credential prepare --environment test --token-file ./${name}`;
  return (await production.ask(words)).commitment;
}

it("is requested as identity.create, and carried out line by line once it is approved", async () => {
  const file = write("plain.ndjson", [
    { slug: "plain-1", owner: "o", parent: "root", expires: "30d" },
    { slug: "plain-2", owner: "o", labels: { a: "b" } },
  ]);

  const { id } = await production.request(`identity import ${file}`);

  const { approval } = await production.ask(`approval show ${id}`);
  expect(approval).toMatchObject({ action: "identity.create", lines: 2 });
  expect((await production.run("identity show plain-1")).code).toBe(3);
  await production.approve(id);
  await production.ask(`approval apply ${id}`);
  const { identity } = await production.ask("identity show plain-1");
  expect(identity).toMatchObject({ parent: "root", owner: "o" });
});

it("is requested as credential.issue where every line has one, and the secrets then work", async () => {
  const lines = [
    { slug: "armed-1", owner: "o", credential: { commitment: await prepare("t1"), scopes: ["a:*"] } },
    { slug: "armed-2", owner: "o", credential: { commitment: await prepare("t2") } },
  ];

  await production.carryThrough(`identity import ${write("armed.ndjson", lines)}`);

  const { credential } = await production.ask("credential activate --token-file ./t1");
  expect(credential).toMatchObject({ identity: "armed-1", status: "active", scopes: ["a:*"] });
});

it("asks for nothing where everything is there", async () => {
  const file = write("there.ndjson", [{ slug: "root", owner: "platform" }]);

  const answer: Answer = await production.ask(`identity import ${file} --if-not-exists`);

  expect(answer).toMatchObject({ imported: 0, unchanged: 1 });
});

it.each([
  ["some lines with a credential", "", "either every line of an import has a credential, or none has"],
  ["--keep-going", "--keep-going", "every line of an import is right"],
])("is refused with words: %s", async (_, words, said) => {
  const file = write("mixed.ndjson", [
    { slug: "mixed-1", owner: "o" },
    { slug: "mixed-2", owner: "o", credential: { commitment: await prepare(`m${words}`) } },
  ]);

  const refusal = await production.refuse(
    `identity import ${file} ${words}`.trim().concat(` --key ${production.trust.keyFile("alice")}`),
  );

  expect(refusal).toMatchObject({ exit: 2, code: "usage", message: expect.stringContaining(said) });
});

it("is refused where a parent comes in the same file", async () => {
  const file = write("family.ndjson", [
    { slug: "family-child", owner: "o", parent: "family" },
    { slug: "family", owner: "o" },
  ]);

  const refusal = await production.refuse(
    `identity import ${file} --key ${production.trust.keyFile("alice")}`,
  );

  expect(refusal).toMatchObject({ exit: 2, message: expect.stringContaining("from line 2") });
});

it("--dry-run tries all of it, and asks for nothing", async () => {
  const file = write("tried.ndjson", [
    { slug: "tried", owner: "o", credential: { commitment: await prepare("t3"), expires: "30d" } },
  ]);

  const answer: Answer = await production.ask(`identity import ${file} --dry-run`);

  expect(answer).toMatchObject({ imported: 1, credentials: 1 });
  expect((await production.ask("approval list")).approvals).not.toContainEqual(
    expect.objectContaining({ status: "open" }),
  );
});
