/**
 * Load by HTTP/1.1 with keep-alive, in a process of its own, on bare sockets: a client that cost more than the server it
 * asks would measure itself. One request at a time per connection. Argv: JSON of `{ connections, path, tokens }`; orders:
 * `{ port, seconds }`.
 */
import { connect } from "node:net";

const { connections, path, tokens } = JSON.parse(process.argv[2]);

/** Sends one request after another until `end`; resolves to how many were answered. */
function ask(port, token, end) {
  const request = `GET ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`;
  return new Promise((resolve, reject) => {
    let answered = 0;
    let text = "";
    const socket = connect({ host: "127.0.0.1", port, noDelay: true }, () => socket.write(request));
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (!isWhole(text)) return;
      if (!text.startsWith("HTTP/1.1 200 ")) return void socket.destroy(new Error(text.split("\r\n")[0]));
      text = "";
      answered += 1;
      if (performance.now() < end) socket.write(request);
      else socket.end();
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(answered));
  });
}

/** Of all answers only ours are asked for: with a length, or chunked. */
function isWhole(text) {
  const head = text.indexOf("\r\n\r\n");
  if (head === -1) return false;
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(text);
  if (length !== null) return text.length >= head + 4 + Number(length[1]);
  return text.endsWith("0\r\n\r\n");
}

async function run({ port, seconds }) {
  const start = performance.now();
  const counts = await Promise.all(
    Array.from({ length: connections }, (_, n) =>
      ask(port, tokens[n % tokens.length], start + seconds * 1000),
    ),
  );
  return counts.reduce((sum, count) => sum + count, 0) / ((performance.now() - start) / 1000);
}

process.on("message", (order) => {
  run(order).then(
    (rate) => process.send({ rate }),
    (error) => process.send({ error: String(error) }),
  );
});
process.on("disconnect", () => process.exit());
process.send({ ready: true });
