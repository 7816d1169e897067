import { describe, expect, test } from "vitest";
import { formatAddress, isLocal, parseAddress } from "../../src/server/address.ts";
import { encodeHeader } from "../../src/server/header-value.ts";
import { refusal } from "../domain/refusal.ts";

describe("an address to listen at", () => {
  test.each([
    ["127.0.0.1:8484", { kind: "tcp", host: "127.0.0.1", port: 8484 }, "http://127.0.0.1:8484"],
    ["[::1]:0", { kind: "tcp", host: "::1", port: 0 }, "http://[::1]:0"],
    ["localhost:65535", { kind: "tcp", host: "localhost", port: 65_535 }, "http://localhost:65535"],
    ["unix:/run/midctl.sock", { kind: "unix", path: "/run/midctl.sock" }, "unix:/run/midctl.sock"],
  ])("%s is read, and shown as it is reached", (text, address, shown) => {
    expect(parseAddress(text)).toEqual(address);
    expect(formatAddress(parseAddress(text))).toBe(shown);
  });

  test.each([
    "",
    "8484",
    ":8484",
    "127.0.0.1",
    "127.0.0.1:",
    "127.0.0.1:65536",
    "127.0.0.1:-1",
    "::1:8484",
    "[::1]",
    "http://127.0.0.1:8484",
    "user@host:1",
    "a b:1",
    "unix:",
    "unix:/",
    "unix:relative",
    "unix:/a/",
    `unix:/${"x".repeat(103)}`,
  ])("%j is refused, with what would do", (text) => {
    const error = refusal(() => parseAddress(text));

    expect([error.code, error.hint]).toEqual(["usage", expect.stringMatching(/\S/)]);
  });

  test.each([
    ["127.0.0.1:1", true],
    ["127.1.2.3:1", true],
    ["[::1]:1", true],
    ["localhost:1", true],
    ["unix:/x", true],
    ["0.0.0.0:1", false],
    ["[::]:1", false],
    ["10.0.0.1:1", false],
    ["127.example.org:1", false],
  ])("%s is for this machine alone: %s", (text, local) => {
    expect(isLocal(parseAddress(text))).toBe(local);
  });
});

describe("a header's value", () => {
  test.each(["codex-1", "Codex, thread 1", "a@b.example", "~!"])(
    "stays as it is where it is plain: %s",
    (text) => {
      expect(encodeHeader(text)).toBe(text);
    },
  );

  test.each(["", " padded ", "100 %", "Ü", "a\r\nb", "\0", "🦊", "\x7f"])(
    "is read back whatever it is: %j",
    (text) => {
      expect(encodeHeader(text)).toMatch(/^[!-~]*$/);
      expect(decodeURIComponent(encodeHeader(text))).toBe(text);
    },
  );
});
