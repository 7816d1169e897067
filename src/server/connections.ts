import type { Server, ServerResponse } from "node:http";
import { Server as NetServer, type Socket } from "node:net";

/** ms for a client that keeps its connection to ask once more, and be told that it is the last time. */
const LINGER = 300;
const SWEEP = 10;

/** A server's connections, each with the answer that was begun on it last: what has to be known to end them in order. */
export class Connections {
  readonly #server: Server;
  readonly #answers = new Map<Socket, ServerResponse | null>();
  #ending = false;

  constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket) => {
      this.#answers.set(socket, null);
      socket.once("close", () => this.#answers.delete(socket));
    });
  }

  /** To be called with every request. */
  begin(answer: ServerResponse): void {
    if (answer.socket !== null) this.#answers.set(answer.socket, answer);
    if (this.#ending) answer.shouldKeepAlive = false;
  }

  /**
   * Takes no new connections; every answer from here on says `Connection: close`. A connection without one under way, half a
   * request on it or none, is closed after a moment, in which a request that was already sent is still answered. After
   * `limit` ms all are cut.
   */
  async end(limit: number): Promise<void> {
    this.#ending = true;
    for (const answer of this.#answers.values()) {
      if (answer !== null && !answer.headersSent) answer.shouldKeepAlive = false;
    }
    // Not http.Server's own: that destroys a kept connection at once, be its last answer on the way or its next request.
    const closed = new Promise<void>((resolve) => {
      NetServer.prototype.close.call(this.#server, () => resolve());
    });
    let sweep: NodeJS.Timeout | undefined;
    const linger = setTimeout(() => {
      sweep = setInterval(() => this.#closeQuiet(), SWEEP);
    }, LINGER);
    const late = setTimeout(() => {
      for (const socket of this.#answers.keys()) socket.destroy();
    }, limit);
    await closed;
    clearTimeout(linger);
    clearInterval(sweep);
    clearTimeout(late);
    this.#server.close(); // the rest of it: a timer
  }

  #closeQuiet(): void {
    for (const [socket, answer] of this.#answers) {
      if (answer === null || answer.writableFinished) socket.destroySoon();
    }
  }
}
