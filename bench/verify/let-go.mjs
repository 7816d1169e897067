/** How long a pause waits until every verifier has let go: with four healthy ones, and when one of them has just died. */
import { performance } from "node:perf_hooks";
import { readTarget } from "../../dist/lib/operations/control.js";
import { pauseTarget } from "../../dist/lib/operations/pause.js";
import { resumeTarget } from "../../dist/lib/operations/resume.js";
import { DEFAULT_LEASE } from "../../dist/lib/operations/verifier/lease-keeper.js";
import { judge, median, say, startTable } from "../measure.mjs";
import { startChild } from "./child.mjs";
import { slugOf } from "./tokens.mjs";

const VERIFIERS = 4;
/** Tokens that each verifier keeps using, and uses per second. */
const TOKENS = 50;
const RATE = 500;
/** What may be added to a lease: two looks at it, and the last one's answer. */
const LATE = 1.1;

const REQUEST = { actor: { kind: "operator", name: "bench" }, reason: null };

export async function measureLetGo({ server, database, db, tokens, pauses, deaths }) {
  const { socketDir, port, user } = server;
  const settings = {
    place: { socketDir, port, user, database },
    tokens: tokens.slice(0, TOKENS),
    rate: RATE,
  };
  const start = () => startChild("verify/verifier.mjs", settings);
  const verifiers = await Promise.all(Array.from({ length: VERIFIERS }, start));
  try {
    startTable(`Let go: ${VERIFIERS} verifier processes, ${RATE} uses per second each`);
    const waits = [];
    const calls = [];
    for (let n = 0; n < pauses; n++) {
      const { letGo, ms } = await pauseAndResume(db, n % TOKENS);
      if (letGo.verifiers !== VERIFIERS || letGo.expired > 0)
        throw new Error(`not healthy: ${JSON.stringify(letGo)}`);
      waits.push(letGo.ms);
      calls.push(ms);
    }
    judge("let go by healthy verifiers, p50", median(waits), { atMost: 10 }, "ms");
    judge("let go by healthy verifiers, p99", quantile(waits, 0.99), { atMost: 50 }, "ms");
    const dying = [];
    for (let n = 0; n < deaths; n++) {
      await verifiers.pop().kill();
      dying.push((await pauseAndResume(db, n)).letGo.ms);
      verifiers.push(await start());
    }
    judge(
      "let go with one just dead, at most : its lease",
      Math.max(...dying) / DEFAULT_LEASE,
      { atMost: LATE },
      "×",
    );
    say(
      `\n${pauses} pauses: the whole call took ${median(calls).toFixed(1)} ms, p99 ${quantile(calls, 0.99).toFixed(1)} ms; ${deaths} with one dead: ${dying.join(", ")} ms of ${DEFAULT_LEASE}`,
    );
  } finally {
    await Promise.all(verifiers.map((verifier) => verifier.kill()));
  }
}

async function pauseAndResume(db, n) {
  const target = await readTarget(db, slugOf(n));
  const begun = performance.now();
  const { letGo } = await pauseTarget(db, REQUEST, target);
  const ms = performance.now() - begun;
  await resumeTarget(db, REQUEST, await readTarget(db, slugOf(n)));
  // Used again and cached again, before its turn comes again.
  await new Promise((resolve) => setTimeout(resolve, 30));
  return { letGo, ms };
}

function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)];
}
