import { connect, createServer, type Server, type Socket } from "node:net";
import type { TestServer } from "./launcher.ts";

/** A TCP server in front of a test server, by which a test decides what the network does. */
export interface TestProxy {
  readonly port: number;
  /** How many connections were made through it. */
  readonly connections: number;
  /**
   * Called with what a client sends before it is passed on: `pass` it, `cut` the connection instead of passing it, or
   * `deliver` it and cut the connection before the answer.
   */
  onClientData: (text: string) => "pass" | "cut" | "deliver";
  /** Cuts every connection, without a word, as a crash or a network failure does. */
  cut(): void;
  /** From here on nothing passes either way, and nobody is told: what a network without a route looks like. */
  stall(): void;
  close(): Promise<void>;
}

export async function openProxy(target: TestServer): Promise<TestProxy> {
  const pairs = new Set<[Socket, Socket]>();
  let connections = 0;
  let stalled = false;
  const server = createServer((client) => {
    connections += 1;
    const upstream = connect(`${target.socketDir}/.s.PGSQL.${target.port}`);
    const pair: [Socket, Socket] = [client, upstream];
    pairs.add(pair);
    const drop = () => {
      pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    client.on("close", drop).on("error", drop);
    upstream.on("close", drop).on("error", drop);
    let answering = true;
    client.on("data", (chunk) => {
      if (stalled) return;
      const verdict = proxy.onClientData(chunk.toString("latin1"));
      if (verdict === "cut") return drop();
      if (verdict === "deliver") {
        answering = false;
        client.off("close", drop).destroy();
        // Half-closed, so that the server still reads and does what it was sent.
        upstream.end(chunk);
        return;
      }
      upstream.write(chunk);
    });
    upstream.on("data", (chunk) => answering && !stalled && client.write(chunk));
  });
  const proxy: TestProxy = {
    port: await listen(server),
    get connections() {
      return connections;
    },
    onClientData: () => "pass",
    cut() {
      for (const [client, upstream] of pairs) {
        client.resetAndDestroy();
        upstream.destroy();
      }
    },
    stall() {
      stalled = true;
    },
    close: () =>
      new Promise((resolve) => {
        proxy.cut();
        server.close(() => resolve());
      }),
  };
  return proxy;
}

/** Listens on a free port of 127.0.0.1. */
export async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening on TCP");
  return address.port;
}
