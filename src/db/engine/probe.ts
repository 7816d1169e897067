import { connect } from "node:net";
import { type EngineAddress, socketPath } from "./location.ts";

/** What answers on a socket. `refused`: nothing does. */
export type Answer = "ready" | "starting" | "stopping" | "refused";

/**
 * Opens a session and ends it at once: the shortest talk that tells a server which takes sessions from one that is
 * starting or stopping (57P03 for both; the engine's server speaks English).
 * @param patience in ms
 */
export function probe(address: EngineAddress, patience = 2000): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect(socketPath(address));
    let heard = "";
    const finish = (answer: Answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(patience, () => finish("refused"));
    socket.once("connect", () => socket.write(startupMessage(address)));
    socket.on("data", (chunk) => {
      heard += chunk.toString("latin1");
      if (heard.startsWith("R")) socket.end(Buffer.from([0x58, 0, 0, 0, 4]), () => finish("ready"));
    });
    socket.once("error", () => finish("refused"));
    socket.once("close", () => finish(judge(heard)));
  });
}

/** An ErrorResponse, whole by the time the server has closed. */
function judge(heard: string): Answer {
  if (!heard.startsWith("E")) return "refused";
  if (!heard.includes("C57P03\0")) return "ready"; // a server that answers otherwise is up: too many clients, say
  return heard.includes("shutting down") ? "stopping" : "starting";
}

/** StartupMessage of protocol 3.0. */
function startupMessage(address: EngineAddress): Buffer {
  const words = `user\0${address.user}\0database\0${address.database}\0\0`;
  const message = Buffer.alloc(8 + Buffer.byteLength(words));
  message.writeInt32BE(message.length, 0);
  message.writeInt32BE(196_608, 4);
  message.write(words, 8);
  return message;
}
