/** An empty handler on the same HTTP server and framework as `midctl serve`: what answering costs before anything is decided. */
import { serve } from "@hono/node-server";
import { Hono } from "hono";

const app = new Hono();
// With a length, as /auth gives it: without one it would be chunked, which costs more.
app.get("/auth", () => new Response(null, { headers: { "content-length": "0" } }));
serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, ({ port }) => process.send({ port }));
process.on("disconnect", () => process.exit());
