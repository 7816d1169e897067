/**
 * `/auth` is asked before every request of a host, so it is answered on Node's own request and response: making Fetch's of
 * them costs more than the decision. What is not plain goes by Hono, to the same decision.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { decideAuth } from "./auth.ts";
import { beginExchange, type Exchange, type Services } from "./exchange.ts";

export function preferFastLane(
  services: Services,
  over: (exchange: Exchange, method: string, status: number) => void,
  report: (error: unknown) => void,
  otherwise: RequestListener,
): RequestListener {
  return (incoming, outgoing) => {
    const plain = readPlain(incoming);
    if (plain === null) return otherwise(incoming, outgoing);
    const exchange = beginExchange();
    decideAuth(services, exchange, plain.url, plain.authorization)
      .then(({ status, headers, body }) => {
        send(outgoing, status, headers, body);
        over(exchange, incoming.method ?? "", status);
      })
      .catch((error: unknown) => {
        report(error);
        outgoing.destroy();
      });
  };
}

interface PlainRequest {
  readonly url: string;
  readonly authorization: string | readonly string[] | null;
}

/** A request for `/auth` without a body; null for any other. */
function readPlain({ url, rawHeaders }: IncomingMessage): PlainRequest | null {
  if (url === undefined || !url.startsWith("/auth") || (url.length > 5 && url[5] !== "?")) return null;
  let authorization: string | string[] | null = null;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string;
    const value = rawHeaders[at + 1] as string;
    if (name.length === 13 && name.toLowerCase() === "authorization") {
      authorization = authorization === null ? value : [...[authorization].flat(), value];
    } else if (
      (name.length === 14 && name.toLowerCase() === "content-length") ||
      (name.length === 17 && name.toLowerCase() === "transfer-encoding")
    ) {
      return null;
    }
  }
  return { url, authorization };
}

function send(
  outgoing: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string | null,
): void {
  if (body === null) outgoing.writeHead(status, headers).end();
  else outgoing.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) }).end(body);
}
