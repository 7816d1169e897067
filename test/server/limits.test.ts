import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { openStage, type Stage, sendRaw } from "./stage.ts";

let stage: Stage;
let token: string;

beforeAll(async () => {
  stage = await openStage({ limits: { headers: 400, request: 800, idle: 1_500 } });
  ({ token } = await stage.issue("patient", { scopes: ["midctl:introspect"] }));
});
afterAll(() => stage.dispose());

/** After whatever was done to it, the server is well and has nothing to report. */
async function expectWell(): Promise<void> {
  expect((await stage.ask("/auth", token)).status).toBe(200);
  expect(stage.reports).toEqual([]);
}

/** Far beyond the limits of these tests, and before any that Node has of its own. */
const SOON = 30_000;

describe("slow clients do not hold the server", () => {
  /** What came from a connection on which `bytes` were sent and nothing after, once the server closed it. */
  function sendAndWait(bytes: string, port = stage.port): Promise<string> {
    return new Promise((resolve) => {
      let text = "";
      const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
      socket.on("data", (chunk) => {
        text += chunk;
      });
      socket.on("close", () => resolve(text)).on("error", () => undefined);
    });
  }

  test.each([
    ["that say nothing at all", "", /^$|^HTTP\/1\.1 408 /],
    ["that stop in the middle of a header", "GET /auth HTTP/1.1\r\nHost: x\r\nAuthoriz", /^HTTP\/1\.1 408 /],
  ])(
    "%s, long before a whole request is due",
    async (_, bytes, answer) => {
      const hasty = await openStage({ limits: { headers: 400, request: 600_000, idle: 600_000 } });
      onTestFinished(() => hasty.dispose());

      expect(await sendAndWait(bytes, hasty.port)).toMatch(answer);
    },
    SOON,
  );

  test(
    "that keep a connection and ask nothing more",
    async () => {
      const text = await sendAndWait("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");

      expect(text).toMatch(/^HTTP\/1\.1 200 /);
    },
    SOON,
  );

  test("that stop in the middle of a body after they were let in", async () => {
    const text = await sendAndWait(
      `POST /introspect HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\ntoken=`,
    );

    expect(text).toMatch(/^HTTP\/1\.1 408 /);
    await expectWell();
  });

  test("two hundred at once, and others are served meanwhile", async () => {
    const sockets: Socket[] = await Promise.all(
      Array.from(
        { length: 200 },
        () =>
          new Promise<Socket>((resolve) => {
            const socket = connect(stage.port, "127.0.0.1", () => {
              socket.write("GET /auth HTTP/1.1\r\nHost: x\r\nX-Slow: ");
              resolve(socket);
            });
            socket.on("error", () => undefined).resume();
          }),
      ),
    );

    await expectWell();

    for (const socket of sockets) socket.destroy();
  });

  test("that hang up in the middle", async () => {
    for (const bytes of [
      "GET /au",
      `GET /auth HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    ]) {
      await new Promise<void>((resolve) => {
        const socket = connect(stage.port, "127.0.0.1", () => {
          socket.write(bytes, () => socket.resetAndDestroy());
        });
        socket.on("close", () => resolve()).on("error", () => undefined);
      });
    }

    await expectWell();
  });
});

describe("what is no HTTP", () => {
  test.each([
    ["a TLS greeting", Buffer.from("16030100a5010000a10303", "hex")],
    ["zeros", Buffer.alloc(10_000)],
    ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["a request line without end", `GET /${"a".repeat(100_000)}`],
    ["a thousand headers", `GET /auth HTTP/1.1\r\nHost: x\r\n${"X-A: 1\r\n".repeat(3_000)}\r\n`],
    ["no Host", "GET /auth HTTP/1.1\r\n\r\n"],
    ["a space in a header's name", "GET /auth HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer x\r\n\r\n"],
    ["a method of its own", "STEAL /auth HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["a tunnel", "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n"],
    ["a length that is none", "POST /introspect HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"],
    ["a host that is none", "GET /healthz HTTP/1.1\r\nHost: a b/@:c\r\n\r\n"],
  ])("is closed or refused: %s", async (_, bytes) => {
    const { status, text } = await sendRaw(stage.port, bytes);

    expect(status === null || (status >= 400 && status < 500), text).toBe(true);
    expect(text).not.toMatch(/node_modules|Error:/);
    await expectWell();
  });

  test("is an upgrade to another protocol, which is answered as if it had not been asked for", async () => {
    const { status } = await sendRaw(
      stage.port,
      `GET /auth HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    );

    expect(status).toBe(200);
  });
});
