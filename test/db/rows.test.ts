import { drizzle as drizzlePglite } from "drizzle-orm/pglite";
import { drizzle as drizzlePostgres } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { Tx } from "../../src/db/database.ts";
import { fromDrizzle } from "../../src/db/drizzle.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { PGLITE, urlOf } from "../support/databases.ts";

/** [SQL expression, the value every carrier gives] */
const VALUES: [string, unknown][] = [
  ["true", true],
  ["false", false],
  ["NULL::text", null],
  ["7::int2", 7],
  ["(-2147483648)::int4", -2147483648],
  ["9007199254740993::int8", "9007199254740993"],
  ["7::int8", "7"],
  ["count(*)", "1"],
  ["123456789012345678901234567890.5000::numeric", "123456789012345678901234567890.5000"],
  ["1.5::float8", 1.5],
  ["'NaN'::float8", Number.NaN],
  ["42::oid", 42],
  ["'a \"b\" {c}, d'::text", 'a "b" {c}, d'],
  ["'x'::varchar(12)", "x"],
  ["'x'::char(3)", "x  "],
  ["'x'::name", "x"],
  ["'2026-02-03'::date", "2026-02-03"],
  ["'04:05:06'::time", "04:05:06"],
  ["'2026-02-03 04:05:06.123456'::timestamp", "2026-02-03 04:05:06.123456"],
  ["'2026-02-03 04:05:06.123456+02'::timestamptz", "2026-02-03 02:05:06.123456+00"],
  ["'2026-02-03 04:05:06+05:30'::timestamptz", "2026-02-02 22:35:06+00"],
  ["'infinity'::timestamptz", "infinity"],
  ["'90 minutes'::interval", "01:30:00"],
  ["'5b6c2a3e-0000-4000-8000-000000000000'::uuid", "5b6c2a3e-0000-4000-8000-000000000000"],
  ["'\\x00ff10'::bytea", Uint8Array.of(0, 255, 16)],
  ["''::bytea", new Uint8Array()],
  ['\'{"b": [1, null, "x"], "a": {}}\'::jsonb', { b: [1, null, "x"], a: {} }],
  ["'{\"a\":1}'::json", { a: 1 }],
  ["'\"text\"'::jsonb", "text"],
  ["'null'::jsonb", null],
  ["ARRAY['a', 'b,c', '\"', '\\', '', '{}']::text[]", ["a", "b,c", '"', "\\", "", "{}"]],
  ["'{}'::text[]", []],
  [
    "ARRAY[[1,2],[3,4]]::int4[]",
    [
      [1, 2],
      [3, 4],
    ],
  ],
  ["ARRAY[9007199254740993]::int8[]", ["9007199254740993"]],
  ["ARRAY[true,false]", [true, false]],
  ["ARRAY['\\x00ff']::bytea[]", [Uint8Array.of(0, 255)]],
  ["ARRAY['2026-02-03 04:05:06+02']::timestamptz[]", ["2026-02-03 02:05:06+00"]],
  ['ARRAY[\'{"a":"b,c"}\']::jsonb[]', [{ a: "b,c" }]],
  ["ARRAY[1.50]::numeric[]", ["1.50"]],
];

const onnotice = () => undefined;

interface Carrier {
  name: string;
  open(): Promise<{ tx: Tx; close(): Promise<void> }>;
}

function carriers(): Carrier[] {
  return [
    ...inject("servers").flatMap((server) => [
      {
        name: `postgres.js on ${server.name}`,
        open: async () => {
          const tx = openPostgres({ url: urlOf(server, "postgres") });
          return { tx, close: () => tx.close() };
        },
      },
      {
        name: `a host's drizzle over postgres.js, in another time zone, on ${server.name}`,
        open: async () => {
          const client = postgres(urlOf(server, "postgres", "tcp"), {
            onnotice,
            connection: { TimeZone: "Asia/Kolkata" },
          });
          return { tx: fromDrizzle(drizzlePostgres(client)), close: () => client.end() };
        },
      },
      {
        name: `a host's drizzle over postgres.js with bigint parsing, on ${server.name}`,
        open: async () => {
          const client = postgres(urlOf(server, "postgres", "tcp"), {
            onnotice,
            types: { bigint: postgres.BigInt },
          });
          return { tx: fromDrizzle(drizzlePostgres(client)), close: () => client.end() };
        },
      },
    ]),
    {
      name: "PGlite",
      open: async () => {
        const { db, dispose } = await PGLITE.createBare();
        return { tx: db, close: dispose };
      },
    },
    {
      name: "a host's drizzle over PGlite",
      open: async () => {
        const { pglite, dispose } = await PGLITE.createBare();
        if (pglite === null) throw new Error("no PGlite");
        return { tx: fromDrizzle(drizzlePglite(pglite)), close: dispose };
      },
    },
  ];
}

describe.each(carriers())("rows by $name", ({ open }) => {
  let tx: Tx;
  let close: () => Promise<void>;
  beforeAll(async () => {
    ({ tx, close } = await open());
  });
  afterAll(() => close());

  it.each(VALUES)("%s", async (expression, expected) => {
    const rows = await tx.query(`SELECT ${expression} AS value`);

    expect(rows).toStrictEqual([{ value: expected }]);
  });

  it.each([
    ["text", "$1::text", 'it\'s "$2" \\ €', 'it\'s "$2" \\ €'],
    ["a number", "$1::int", 7, 7],
    ["a float", "$1::float8", 0.1, 0.1],
    ["a number beyond int4", "$1::int8", 1_700_000_000_000, "1700000000000"],
    ["a boolean", "$1::boolean", false, false],
    ["null", "$1::text", null, null],
    [
      "a timestamp to the microsecond",
      "$1::timestamp",
      "2026-02-03 04:05:06.123456",
      "2026-02-03 04:05:06.123456",
    ],
    ["a moment", "$1::timestamptz", "2026-02-03T04:05:06.123456Z", "2026-02-03 04:05:06.123456+00"],
    ["JSON as text", "$1::text::jsonb", '{"a":["b"]}', { a: ["b"] }],
    ["JSON straight", "$1::jsonb", '{"a":["b"]}', { a: ["b"] }],
    ["an array as JSON", "ARRAY(SELECT jsonb_array_elements_text($1::text::jsonb))", '["a","b"]', ["a", "b"]],
    ["bytes as hex", "decode($1, 'hex')", "00ff", Uint8Array.of(0, 255)],
  ])("takes %s as a parameter", async (_, expression, param, expected) => {
    const rows = await tx.query(`SELECT ${expression} AS value`, [param]);

    expect(rows).toStrictEqual([{ value: expected }]);
  });

  it("takes a parameter that recurs", async () => {
    const rows = await tx.query("SELECT $2::text AS b, $1::text AS a, $1 || $2 AS ab", ["x", "y"]);

    expect(rows).toStrictEqual([{ b: "y", a: "x", ab: "xy" }]);
  });

  it("refuses what is no parameter before anything is sent, and goes on", async () => {
    const refused = tx.query("SELECT $1::text", [undefined as never]);

    await expect(refused).rejects.toMatchObject({ code: "internal" });
    await expect(refused).rejects.toThrow(
      "parameter $1 is of the type undefined; the statement was not sent",
    );
    expect(await tx.query("SELECT 1 AS a")).toStrictEqual([{ a: 1 }]);
  });

  it("gives nothing but rows", async () => {
    expect(await tx.query("SELECT 1 AS a WHERE false")).toStrictEqual([]);
    expect(await tx.query("DO $$ BEGIN RAISE NOTICE 'unheard'; END $$")).toStrictEqual([]);
  });
});
