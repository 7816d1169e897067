import { connect, createServer, type Server, type Socket } from "node:net";
import { listen } from "../../support/proxy.ts";
import type { LinkOrder, LinkReport, LinkSettings } from "./orders.ts";

/**
 * A network cable between one verifier and the server. It lies in a process of its own: who stops or kills a verifier
 * does not stop its cable, and bytes are not carried by the process that reads the clock.
 */
class Link {
  readonly server: Server;
  readonly #target: string;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #state: "whole" | "cut" | "stalled" = "whole";

  constructor(target: string) {
    this.#target = target;
    // A half-closed side stays open until the other has read everything and closes too.
    this.server = createServer({ allowHalfOpen: true }, (client) => this.#connect(client));
  }

  obey(order: LinkOrder["order"]): void {
    if (order === "cut") {
      this.#state = "cut";
      for (const [client, upstream] of this.#pairs) {
        client.resetAndDestroy();
        upstream.destroy();
      }
    } else if (order === "stall") {
      this.#state = "stalled";
      for (const pair of this.#pairs) this.#hold(pair);
    } else {
      this.#state = "whole";
      for (const pair of this.#pairs) this.#pass(pair);
    }
  }

  #connect(client: Socket): void {
    client.on("error", () => undefined);
    if (this.#state === "cut") return void client.resetAndDestroy();
    client.setNoDelay(true);
    const upstream = connect({ path: this.#target, allowHalfOpen: true });
    const pair = [client, upstream] as const;
    this.#pairs.add(pair);
    upstream.on("error", () => client.destroy());
    for (const [from, to] of [pair, [upstream, client] as const]) {
      from.on("data", (chunk) => to.write(chunk));
      from.on("end", () => to.end());
      from.on("close", () => {
        // A stalled cable tells the server nothing of a client that is gone.
        if (this.#state === "stalled" && from === client) return;
        this.#pairs.delete(pair);
        to.destroy();
      });
    }
    if (this.#state === "stalled") this.#hold(pair);
  }

  #hold(pair: readonly [Socket, Socket]): void {
    for (const side of pair) side.pause();
  }

  #pass(pair: readonly [Socket, Socket]): void {
    const [client, upstream] = pair;
    for (const side of pair) side.resume();
    if (!client.destroyed) return;
    this.#pairs.delete(pair);
    upstream.destroy();
  }
}

async function carry({ socket, links: count }: LinkSettings): Promise<void> {
  const links = Array.from({ length: count }, () => new Link(socket));
  const ports = await Promise.all(links.map(({ server }) => listen(server)));
  process.on("message", ({ order, link }: LinkOrder) => links[link]?.obey(order));
  process.on("disconnect", () => process.exit());
  process.send?.({ report: "listening", ports } satisfies LinkReport);
}

await carry(JSON.parse(process.argv[2] ?? "") as LinkSettings);
