import { Hono } from "hono";
import { answerAuth } from "./auth.ts";
import { answerError, type Exchange, type RequestContext, type Services } from "./exchange.ts";
import { answerHealth, answerMetrics, answerReadiness } from "./health.ts";
import { answerIntrospection } from "./introspect.ts";
import { answerMcp } from "./mcp-endpoint.ts";

export type App = Hono<{ Bindings: Exchange }>;

/** Every path of the server: handlers without middleware. */
export function createApp(services: Services, report: (error: unknown) => void): App {
  const app: App = new Hono<{ Bindings: Exchange }>();
  app.all("/auth", (c) => answerAuth(services, c));
  app.post("/introspect", (c) => answerIntrospection(services, c));
  app.all("/mcp", (c) => answerMcp(services, c));
  app.get("/healthz", (c) => answerHealth(c));
  app.get("/readyz", (c) => answerReadiness(services, c));
  app.get("/metrics", (c) => answerMetrics(services, c));
  app.all("/introspect", (c) => refuseMethod(c, "/introspect", "POST"));
  for (const path of ["/healthz", "/readyz", "/metrics"]) {
    app.all(path, (c) => refuseMethod(c, path, "GET, HEAD"));
  }
  app.notFound(() => answerError(404, "not_found"));
  app.onError((error) => {
    report(error);
    return answerError(500, "internal");
  });
  return app;
}

function refuseMethod(c: RequestContext, path: string, allow: string): Response {
  c.env.route = path;
  return answerError(405, "method_not_allowed", { allow });
}
