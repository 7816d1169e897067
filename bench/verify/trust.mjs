/** Decisions with a trust root against those without, once the plan has been seen; and what seeing a plan costs. */
import { execFileSync } from "node:child_process";
import { generateKeyPairSync, randomBytes, sign, verify } from "node:crypto";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { commitToHash, NAMESPACES } from "../../dist/lib/domain/plan.js";
import { createAuthenticator, loadTrust } from "../../dist/lib/index.js";
import { writePlan } from "../../dist/lib/operations/approval/plan.js";
import { decide, quickHash } from "../../dist/lib/operations/decide.js";
import { Receipts } from "../../dist/lib/operations/verifier/receipts.js";
import { endLines, insertRequest, insertVote } from "../../dist/lib/repository/approval.js";
import { readMoment } from "../../dist/lib/repository/moment.js";
import { judge, median, ratio, say, startTable, takeTurns } from "../measure.mjs";
import { measureCost, measureRate } from "./rate.mjs";
import { slugOf } from "./tokens.mjs";

const CACHED = 1_000;
const TIMES = 200_000;
const SEEN = 300;
const OWNERS = ["alice", "bob"];

export async function measureTrust({ scratch, db, tokens, rounds, seconds }) {
  const desk = makeDesk(scratch.dir);
  const [environment] = await db.query(`SELECT name, live, "databaseId" FROM midctl_environment`);
  const moment = await readMoment(db);
  await keep(db, signedPlan(desk, environment, moment, tokens));
  await measureDecisions({ db, desk, tokens, rounds, seconds });
  await measureSeeing({
    db,
    desk,
    token: tokens[0],
    plan: signedPlan(desk, environment, moment, tokens.slice(0, 1)),
    rounds,
  });
}

async function measureDecisions({ db, desk, tokens, rounds, seconds }) {
  const open = (cache, trust) => createAuthenticator({ db, cache, ...(trust ? { trust: desk.dir } : {}) });
  const plain = { false: open(false, false), true: open(true, false) };
  const trusting = { false: open(false, true), true: open(true, true) };
  const known = tokens.slice(0, CACHED);
  for (const verifier of [plain.true, trusting.true, trusting.false]) await warm(verifier, known);
  const uncached = (verifier) => () =>
    measureRate(32, seconds, (n) => good(verifier, tokens[n % tokens.length]));
  const cached = (verifier) => () => measureCost(TIMES, (n) => verifier.authenticate(known[n % CACHED]));
  const rates = await takeTurns({ trust: uncached(trusting.false), without: uncached(plain.false) }, rounds);
  const costs = await takeTurns({ trust: cached(trusting.true), without: cached(plain.true) }, rounds * 3);
  const { plansVerified } = trusting.false.counters;
  if (plansVerified !== 1) throw new Error(`the plan was verified ${plansVerified} times`);
  await Promise.all(
    [...Object.values(plain), ...Object.values(trusting)].map((verifier) => verifier.close()),
  );
  startTable(`With a trust root, a plan of ${tokens.length} lines having been seen`);
  judge("uncached, 32 in flight : without a trust root", ratio(rates, "trust", "without"), { atLeast: 0.9 });
  judge("cached : without a trust root", ratio(costs, "without", "trust"), { atLeast: 0.9 });
  say(`\n${tell(rates, "/s")}; cached ${tell(costs, " ns")}`);
}

/** Without the database: what this process does between rows and verdict, against two signatures verified bare. */
async function measureSeeing({ db, desk, token, plan, rounds }) {
  const hash = quickHash(token);
  const looked = await decide(db, token, null);
  const rows = { digests: [{ secret: commitToHash(hash), digest: plan.digest }], plans: [plan.row] };
  const tx = { query: async (text) => (text.includes("FROM midctl_plan") ? rows.plans : rows.digests) };
  const root = loadTrust(desk.dir);
  const see = async () => {
    const { decision } = await new Receipts(tx, { patience: 10_000 }).judge(root, hash, looked, null);
    if (!decision.ok) throw new Error(`the plan does not cover its token: ${decision.code}`);
  };
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const message = randomBytes(120);
  const signature = sign(null, message, privateKey);
  const bare = () =>
    verify(null, message, publicKey, signature) && verify(null, message, publicKey, signature);
  const costs = await takeTurns(
    { seeing: () => measureCost(SEEN, see), bare: () => measureCost(SEEN, bare) },
    rounds * 3,
  );
  startTable("Seeing a plan of one line, with a request and an approval");
  judge("seeing a plan : verifying two Ed25519 signatures", ratio(costs, "seeing", "bare"), { atMost: 2 });
  say(`\n${tell(costs, " ns")}`);
}

/** A trust directory in which two owners have keys. */
function makeDesk(scratch) {
  const place = mkdtempSync(join(scratch, "trust-"));
  const file = (name) => join(place, name);
  for (const name of OWNERS) execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", file(name)]);
  const lines = OWNERS.map((name) => `${name} ${readFileSync(`${file(name)}.pub`, "utf8")}`);
  writeFileSync(file("allowed_signers"), lines.join(""));
  writeFileSync(file("policy.json"), '{"quorum":1}');
  const signAs = (name, kind, text) =>
    execFileSync("ssh-keygen", ["-Y", "sign", "-q", "-n", NAMESPACES[kind], "-f", file(name)], {
      input: text,
      encoding: "utf8",
      stdio: ["pipe", "pipe", "ignore"],
    });
  return { dir: place, signAs };
}

/** A plan that covers these tokens, as `db protect` makes one, with its votes and as a verifier reads it. */
function signedPlan(desk, environment, { now, size, leafHash }, tokens) {
  const later = (seconds) => new Date(Date.parse(now) + seconds * 1000).toISOString();
  const { text, digest } = writePlan({
    v: 1,
    id: `ap_${randomBytes(6).toString("hex")}`,
    action: "environment.protect",
    environment,
    requester: "alice",
    reason: null,
    nonce: randomBytes(16).toString("hex"),
    requestedAt: now,
    approveBy: later(3600),
    executeBy: later(7200),
    log: { size, leafHash },
    breakGlass: null,
    lines: tokens.map((token) => ({
      do: "environment.protect",
      identity: { slug: slugOf(Number(token.slice(9, 21))), publicId: token.slice(9, 21), version: 0 },
      credential: { id: `mc_${token.slice(9, 21)}`, version: 0 },
      token: { secret: commitToHash(quickHash(token)), scopes: ["cards:*"], notAfter: later(90 * 86_400) },
      shortened: false,
    })),
  });
  const votes = [
    ["request", "alice"],
    ["approval", "bob"],
  ].map(([kind, principal]) => ({ kind, principal, signature: desk.signAs(principal, kind, text) }));
  return { text, digest, votes, row: { digest, plan: text, votes } };
}

async function keep(db, { text, digest, votes }) {
  await db.transaction(async (tx) => {
    await insertRequest(tx, { plan: text, digest, hashes: [], quorum: 1 });
    const { id } = JSON.parse(text);
    for (const vote of votes) await insertVote(tx, id, { ...vote, keyFingerprint: "of the bench" });
    await endLines(
      tx,
      id,
      "done",
      JSON.parse(text).lines.map((_, index) => index + 1),
    );
    // As the guards say of what protection covers.
    await tx.query("UPDATE midctl_approval_line SET used = true WHERE outcome = 'done'");
  });
}

async function good(verifier, token) {
  const decision = await verifier.authenticate(token);
  if (!decision.ok) throw new Error(`a good token is ${decision.code}`);
}

/** Until these are answered from the cache, where there is one, and their plan has been seen. */
async function warm(verifier, tokens) {
  for (let attempt = 0; attempt < 100; attempt++) {
    const before = verifier.counters.cached;
    await Promise.all(tokens.map((token) => good(verifier, token)));
    if (verifier.counters.cached - before === tokens.length || !verifier.counters.caching) {
      if (verifier.counters.cached > 0 || attempt > 10) return;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("the cache does not fill");
}

function tell(figures, unit) {
  return [...figures].map(([name, values]) => `${name} ${median(values).toFixed(0)}${unit}`).join(", ");
}
