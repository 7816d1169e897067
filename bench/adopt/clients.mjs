/** The application of bench/adopt.mjs: clients that read tokens and write events, each waiting for its own answer. */
import { openPostgres } from "../../dist/lib/db/postgres.js";

const { target, clients, tokens } = JSON.parse(process.argv[2]);
const pools = Array.from({ length: clients }, () => openPostgres(target, { max: 1 }));
let running = true;
let done = 0;
let longest = 0;
const errors = [];

async function work(db, client) {
  for (let n = client; running; n += clients) {
    const id = 1 + (n % tokens);
    const start = performance.now();
    try {
      await db.query(
        `SELECT id, scopes, "revokedAt" FROM agent_token WHERE "publicId" = lpad($1::text, 12, 't')`,
        [id],
      );
      await db.query(
        `INSERT INTO agent_audit_event ("publicId", "workspaceId", "agentTokenId", action) VALUES ($1::text, 1, $2, 'card.move')`,
        [`${client}${(done + 1).toString(36)}${Math.random().toString(36).slice(2)}`.slice(0, 12), id],
      );
      if (n % 10 === 0) await db.query(`UPDATE agent_token SET "lastUsedAt" = now() WHERE id = $1`, [id]);
    } catch (error) {
      errors.push(error.message);
    }
    done += 1;
    longest = Math.max(longest, performance.now() - start);
  }
}

const working = pools.map(work);
process.on("message", async (order) => {
  if (order.order === "reset") {
    done = longest = 0;
    errors.length = 0;
    process.send({});
    return;
  }
  running = order.order !== "stop";
  if (!running) await Promise.all(working);
  process.send({ done, longest, errors: errors.slice(0, 5), failed: errors.length });
});
process.send({});
