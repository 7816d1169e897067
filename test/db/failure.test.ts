import { drizzle as drizzlePglite } from "drizzle-orm/pglite";
import { drizzle as drizzlePostgres } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { Tx } from "../../src/db/database.ts";
import { fromDrizzle } from "../../src/db/drizzle.ts";
import { toMidctlError } from "../../src/db/failure.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { MidctlError } from "../../src/domain/errors.ts";
import { PGLITE, urlOf } from "../support/databases.ts";

/** Everything that anybody could get to see of an error, causes and hidden properties included. */
function expose(error: unknown): string {
  const seen = new Set<unknown>();
  const texts: string[] = [];
  (function visit(value: unknown): void {
    if (typeof value === "string") texts.push(value);
    if (typeof value !== "object" || value === null || seen.has(value)) return;
    seen.add(value);
    for (const key of Reflect.ownKeys(value)) visit((value as Record<PropertyKey, unknown>)[key]);
  })(error);
  return texts.join("\n");
}

const SECRET = "5ecret5ecret5ecret5ecret";

interface Carrier {
  name: string;
  open(): Promise<{ tx: Tx; close(): Promise<void> }>;
}

function carriers(): Carrier[] {
  const [server] = inject("servers");
  if (server === undefined) throw new Error("no server");
  const url = urlOf(server, "postgres", "tcp");
  return [
    {
      name: "postgres.js",
      open: async () => {
        const tx = openPostgres({ url });
        return { tx, close: () => tx.close() };
      },
    },
    {
      name: "drizzle over postgres.js",
      open: async () => {
        const client = postgres(url, { onnotice: () => undefined });
        return { tx: fromDrizzle(drizzlePostgres(client)), close: () => client.end() };
      },
    },
    {
      name: "PGlite",
      open: async () => {
        const { db, dispose } = await PGLITE.createBare();
        return { tx: db, close: dispose };
      },
    },
    {
      name: "drizzle over PGlite",
      open: async () => {
        const { pglite, dispose } = await PGLITE.createBare();
        if (pglite === null) throw new Error("no PGlite");
        return { tx: fromDrizzle(drizzlePglite(pglite)), close: dispose };
      },
    },
  ];
}

describe.each(carriers())("an error by $name", ({ open }) => {
  let tx: Tx;
  let close: () => Promise<void>;
  beforeAll(async () => {
    ({ tx, close } = await open());
    await tx.query("DROP TABLE IF EXISTS secret_holder");
    await tx.query(
      "CREATE TABLE secret_holder (hash text CONSTRAINT hash_unique UNIQUE CONSTRAINT hash_short CHECK (length(hash) < 30))",
    );
    await tx.query("INSERT INTO secret_holder VALUES ($1)", [SECRET]);
  });
  afterAll(async () => {
    await tx.query("DROP TABLE secret_holder");
    await close();
  });

  async function fail(text: string, params: (string | number)[] = []): Promise<MidctlError> {
    const error = await tx.query(text, params).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(MidctlError);
    return error as MidctlError;
  }

  it.each([
    ["MC001", "illegal_transition"],
    ["MC002", "conflict"],
    ["MC003", "illegal_transition"],
    ["MC004", "conflict"],
  ])("raised by a guard as %s is %s, in the guard's words", async (sqlState, code) => {
    const error = await fail(`DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '${sqlState}',
      MESSAGE = 'what happened', HINT = 'what to do', DETAIL = '{"credential": "mc_x"}'; END $$`);

    expect(error).toMatchObject({
      code,
      message: "what happened",
      hint: "what to do",
      details: { credential: "mc_x", sqlState },
    });
  });

  it("keeps no detail that is not JSON", async () => {
    const error = await fail(`DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'MC002', MESSAGE = 'm',
      DETAIL = 'row (${SECRET})'; END $$`);

    expect(expose(error)).not.toContain(SECRET);
  });

  it("names the constraint that a duplicate breaks, never the value", async () => {
    const error = await fail("INSERT INTO secret_holder VALUES ($1)", [SECRET]);

    expect(error).toMatchObject({
      code: "conflict",
      details: { constraint: "hash_unique", sqlState: "23505" },
    });
    expect(expose(error)).not.toContain(SECRET);
  });

  it("names the check that a row breaks, never the row", async () => {
    const error = await fail("INSERT INTO secret_holder VALUES ($1 || repeat('x', 30))", [SECRET]);

    expect(error).toMatchObject({ code: "conflict", details: { constraint: "hash_short" } });
    expect(expose(error)).not.toContain(SECRET);
  });

  it("does not quote a value that does not fit", async () => {
    const error = await fail("SELECT $1::text::int", [SECRET]);

    expect(error).toMatchObject({ code: "internal", details: { sqlState: "22P02" } });
    expect(expose(error)).not.toContain(SECRET);
  });

  it.each([
    ["a table that is not there", "SELECT * FROM midctl_nothing WHERE a = $1"],
    ["a column that is not there", "SELECT nothing FROM secret_holder WHERE hash = $1"],
  ])("over %s says that the schema is missing or older", async (_, text) => {
    const error = await fail(text, [SECRET]);

    expect(error).toMatchObject({
      code: "schema_version",
      hint: "If it is being restored, wait until that is done; else run `midctl db migrate`.",
    });
    expect(expose(error)).not.toContain(SECRET);
  });

  it("tells a host's retry its SQLSTATE, where retries look for it", async () => {
    const error = await fail("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$");

    expect(error.cause).toMatchObject({ code: "40001" });
  });
});

describe("an SQLSTATE", () => {
  it.each([
    ["23503", "conflict"],
    ["23514", "conflict"],
    ["40P01", "unavailable"],
    ["42501", "denied"],
    ["25006", "unavailable"],
    ["55P03", "unavailable"],
    ["57014", "unavailable"],
    ["57P01", "unavailable"],
    ["57P03", "unavailable"],
    ["53100", "unavailable"],
    ["53200", "unavailable"],
    ["53300", "unavailable"],
    ["08006", "unavailable"],
    ["28P01", "unavailable"],
    ["28000", "unavailable"],
    ["3D000", "unavailable"],
    ["58030", "unavailable"],
    ["42P01", "schema_version"],
    ["42703", "schema_version"],
    ["42601", "internal"],
    ["XX000", "internal"],
  ])("%s is %s, alone or as a cause", (sqlState, code) => {
    const error = Object.assign(new Error("said"), { code: sqlState });

    expect(toMidctlError(error)).toMatchObject({ code, details: { sqlState } });
    expect(toMidctlError(new Error("wrapped", { cause: error }))).toMatchObject({
      code,
      details: { sqlState },
    });
  });
});

describe("a failure of the connection", () => {
  it.each([
    "ECONNREFUSED",
    "ECONNRESET",
    "EPIPE",
    "ENOENT",
    "ENOTFOUND",
    "ETIMEDOUT",
    "CONNECTION_CLOSED",
    "CONNECT_TIMEOUT",
    "SELF_SIGNED_CERT_IN_CHAIN",
    "ERR_TLS_CERT_ALTNAME_INVALID",
  ])("%s is unavailable", (code) => {
    const error = Object.assign(new Error("connect postgres://u:hunter2@host"), { code });

    expect(toMidctlError(error)).toMatchObject({ code: "unavailable", details: { reason: code } });
    expect(expose(toMidctlError(error))).not.toContain("hunter2");
  });

  it("on every address of a name is that of the first", () => {
    const refused = Object.assign(new Error(), { code: "ECONNREFUSED" });

    expect(toMidctlError(new AggregateError([refused, refused]))).toMatchObject({
      details: { reason: "ECONNREFUSED" },
    });
  });

  it("that nobody has seen before is internal and says no more than its kind", () => {
    expect(toMidctlError(new TypeError(SECRET)).message).toBe("The database driver failed (TypeError).");
    expect(toMidctlError("text").code).toBe("internal");
  });
});

it("leaves a MidctlError as it is", () => {
  const error = new MidctlError("not_found", "no");

  expect(toMidctlError(error)).toBe(error);
});
