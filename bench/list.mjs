/**
 * Lists of a million against lists of a thousand: the database call of `midctl list`, first page and deep page, plain
 * and filtered; and the selections of `midctl pause` and its like. Every page of both is full, so that only the size of the tables differs.
 *
 *   node bench/list.mjs [--rounds 200] [--large 1000000] [--major 18]
 */
import { parseArgs } from "node:util";
import { listCredentials, listIdentities } from "../dist/lib/operations/list.js";
import { selectIssuedBefore, selectTargets } from "../dist/lib/operations/select-targets.js";
import { finish, judge, median, ratio, say, startTable } from "./measure.mjs";
import { compare, cursorAt, explain, LIMIT, readPage } from "./pages.mjs";
import { makeDatabase, makeScratch, open, startServer } from "./server.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "200" },
    large: { type: "string", default: "1000000" },
    major: { type: "string" },
  },
});
const rounds = Number(options.rounds);
const SMALL = 1_000;
const LARGE = Number(options.large);

/** The guards judge row by row, which nobody needs here; reading never meets them. */
const UNGUARD = [
  "machine_identity",
  "midctl_identity_label",
  "machine_identity_credential",
  "agent_token",
].map((table) => `ALTER TABLE ${table} DISABLE TRIGGER ALL`);

/**
 * `size` identities in an order that has nothing to do with their slugs: half of them threads; of each hundred, twenty
 * paused, ten revoked, twenty expired, the others active; ten owners; a label that half of them have, one that a fifth
 * have, and one that a hundred have at any size. A fifth have a credential.
 */
const fill = (size) => [
  `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, provider, "threadId", owner, labels, status,
                                 "createdAt", "expiresAt", "pausedAt", "revokedAt")
   SELECT lpad(n::text, 12, '0'), s.slug, s.slug, CASE WHEN n % 2 = 0 THEN 'thread' ELSE 'service' END,
          CASE WHEN n % 2 = 0 THEN 'codex' END, CASE WHEN n % 2 = 0 THEN s.slug END, 'owner-' || (h.hash >> 8) % 10,
          jsonb_strip_nulls(jsonb_build_object('env', CASE WHEN h.hash % 2 = 0 THEN 'prod' ELSE 'test' END,
            'team', 'team-' || (h.hash >> 4) % 5, 'pilot', CASE WHEN n % (${size} / 100) = 0 THEN 'yes' END)),
          s.status, clock_timestamp() AT TIME ZONE 'UTC' - interval '100 days',
          CASE WHEN s.kind >= 80 THEN now() AT TIME ZONE 'UTC' - interval '1 day' END,
          CASE WHEN s.status = 'paused' THEN now() END, CASE WHEN s.status = 'revoked' THEN now() END
     FROM generate_series(1, ${size}) n,
     LATERAL (SELECT hashint8(n) & 1073741823 AS hash) h,
     LATERAL (SELECT 'bot-' || substr(md5(n::text), 1, 20) AS slug, (h.hash >> 12) % 100 AS kind,
                     CASE (h.hash >> 12) % 100 / 10 WHEN 0 THEN 'paused' WHEN 1 THEN 'paused' WHEN 2 THEN 'revoked' ELSE 'active' END AS status) s`,
  `INSERT INTO midctl_identity_label (key, value, slug, "machineIdentityId")
   SELECT l.key, l.value, i.slug, i.id FROM machine_identity i, jsonb_each_text(i.labels) l`,
  `INSERT INTO machine_identity_credential ("publicId", "machineIdentityId", "tokenHash", status, "activationDeadline", "expiresAt", "activatedAt")
   SELECT "publicId", id, lpad("publicId", 64, '0'), CASE WHEN id % 10 = 0 THEN 'active' ELSE 'pending' END,
          now() AT TIME ZONE 'UTC' + interval '1 day', now() AT TIME ZONE 'UTC' + make_interval(days => (10 + id % 80)::int), now()
     FROM machine_identity WHERE id % 5 = 0`,
  `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", "machineIdentityId")
   SELECT "publicId", name, 'mid_test', "tokenHash", "machineIdentityId" FROM machine_identity_credential`,
];

async function load(server, database, size) {
  await makeDatabase(server, database);
  const db = open(server, database, 1);
  for (const statement of [...UNGUARD, ...fill(size), "VACUUM ANALYZE"]) await db.query(statement);
  await db.close();
}

const ANY = {
  status: [],
  labels: [],
  owner: null,
  provider: null,
  expiringWithin: null,
  unusedFor: null,
  identity: null,
};
const label = (key, value) => ({ key, value });

const identities = (filter = {}, sort = "slug") => ({
  page: (db, at) => listIdentities(db, { ...ANY, ...filter }, sort, at),
});
const credentials = (filter = {}, sort = "issued") => ({
  page: (db, at) => listCredentials(db, { ...ANY, ...filter }, sort, at),
});

const LISTS = {
  identities: identities(),
  "identities by creation": identities({}, "created"),
  "identities by expiry": identities({}, "expires"),
  "label of a hundred": identities({ labels: [label("pilot", "yes")] }),
  "label of half": identities({ labels: [label("env", "prod")] }),
  "two labels (half, fifth)": identities({ labels: [label("env", "prod"), label("team", "team-3")] }),
  "owner of a tenth": identities({ owner: "owner-3" }),
  "provider of half": identities({ provider: "codex" }),
  "status active": identities({ status: ["active"] }),
  "status paused": identities({ status: ["paused"] }),
  "status revoked": identities({ status: ["revoked"] }),
  "status expired": identities({ status: ["expired"] }),
  "label and status": identities({ labels: [label("env", "prod")], status: ["paused"] }),
  credentials: credentials(),
  "credentials by expiry": credentials({}, "expires"),
  "credentials, active": credentials({ status: ["active"] }),
};
/** Selections for pause, resume and revoke: as many at any size, of which all are read. */
const selected = (filter) => ({
  whole: true,
  page: async (db) => ({ identities: await selectTargets(db, { filter: { ...ANY, ...filter } }, "paused") }),
});
const PILOTS = [label("pilot", "yes")];
const SELECTIONS = {
  "pause by label": selected({ labels: PILOTS }),
  "pause by label and owner": selected({ labels: PILOTS, owner: "owner-3" }),
  "pause by label and provider": selected({ labels: PILOTS, provider: "codex" }),
  "pause by label, unused": selected({ labels: PILOTS, unusedFor: 86_400 }),
  "revoke by label, issued before": {
    whole: true,
    page: async (db) => {
      const { targets } = await selectIssuedBefore(
        db,
        { filter: { ...ANY, labels: PILOTS } },
        { seconds: 0 },
      );
      return { identities: targets };
    },
  },
};
/** A hundred of a million lie on a page of the disk each, a hundred of a thousand beside one another. */
const SCATTERED = 3;

const rowsOf = (found) => (found.identities ?? found.credentials).length;

const scratch = makeScratch();
const major = options.major === undefined ? {} : { major: Number(options.major) };
const server = await startServer(scratch, {
  keepsMemory: true,
  ...major,
  settings: { autovacuum: "off", fsync: "off", max_wal_size: "256MB", shared_buffers: "256MB", jit: "off" },
});
try {
  await load(server, "small", SMALL);
  await load(server, "large", LARGE);
  const small = open(server, "small", 1);
  const large = open(server, "large", 1);
  startTable(
    `Lists: ${LARGE.toLocaleString("en")} against ${SMALL.toLocaleString("en")} identities, PostgreSQL ${server.major}`,
  );
  const times = [];
  const growing = [];
  for (const [name, { page, whole = false }] of Object.entries({ ...LISTS, ...SELECTIONS })) {
    for (const depth of whole ? ["whole"] : ["first", "deep"]) {
      // Deep: the second full page of the thousand, and as far into the million as 20,000 rows of it.
      const places = {
        small: depth === "deep" ? await cursorAt(page, small, LIMIT / 2) : null,
        large: depth === "deep" ? await cursorAt(page, large, 20_000) : null,
      };
      const rows = [
        rowsOf(await readPage(page, small, places.small)),
        rowsOf(await readPage(page, large, places.large)),
      ];
      const full = whole ? Math.min(...rows) > 0 : rows.every((count) => count === LIMIT);
      if (!full && depth === "deep") continue; // a list of a hundred has no deep page
      if (!full) throw new Error(`${name}: a page is not full, and the comparison says nothing`);
      const figures = await compare(server, page, places, rounds);
      judge(whole ? name : `${name}, ${depth} page`, ratio(figures, "large", "small"), {
        atMost: whole ? SCATTERED : 1.2,
      });
      times.push(
        `${name} ${depth}${whole ? ` (${rows.join(" → ")} rows)` : ""}: ${median(figures.get("small")).toFixed(2)} → ${median(figures.get("large")).toFixed(2)} ms`,
      );
      growing.push(
        ...(await explain(page, large, places.large, LARGE / 100)).map(
          (node) => `${name}, ${depth}: ${node}`,
        ),
      );
    }
  }
  judge("plan nodes that touch more than a hundredth of the million", growing.length, { atMost: 0 }, "");
  say(`\n${[...growing, ...times].join("\n")}`);
  await small.close();
  await large.close();
} finally {
  await server.stop();
  scratch.remove();
}
finish();
