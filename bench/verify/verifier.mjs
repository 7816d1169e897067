/**
 * A verifier in a process of its own, for let-go: uses tokens steadily, so that there is something to let go of. Argv: JSON
 * of `{ place, tokens, rate }`; its first word comes when every token has been answered from its cache.
 */
import { createAuthenticator, openPostgres } from "../../dist/lib/index.js";

const { place, tokens, rate } = JSON.parse(process.argv[2]);
const authenticator = createAuthenticator({ db: openPostgres(place, { max: 4 }) });

const TICK = 10;
let next = 0;
const perTick = Math.max(1, Math.round((rate * TICK) / 1000));
setInterval(() => {
  for (let use = 0; use < perTick; use++) void authenticator.authenticate(tokens[next++ % tokens.length]);
}, TICK);

const warm = setInterval(() => {
  if (authenticator.counters.cached < tokens.length * 2) return;
  clearInterval(warm);
  process.send({ ready: true });
}, 20);
process.on("disconnect", () => process.exit());
