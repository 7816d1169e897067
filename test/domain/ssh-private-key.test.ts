import { execFileSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readPublicKey } from "../../src/domain/ssh-key.ts";
import { parsePrivateKey } from "../../src/domain/ssh-private-key.ts";
import { hasSshKeygen } from "../support/ssh.ts";

describe.runIf(hasSshKeygen)("a private key as ssh-keygen writes it", () => {
  const directory = mkdtempSync(join(tmpdir(), "midctl-private-key-"));
  afterAll(() => rmSync(directory, { recursive: true }));

  it("is the one of its public key", () => {
    const { text, line } = make("plain", "-t", "ed25519", "-N", "");
    const [type = "", base64 = ""] = line.split(" ");

    const read = parsePrivateKey(text);

    const found = "key" in read ? createPublicKey(read.key).export({ format: "jwk" }).x : null;
    expect(found).toBe(readPublicKey(type, base64)?.object.export({ format: "jwk" }).x);
  });

  it("is not opened where it has a passphrase", () => {
    expect(parsePrivateKey(make("locked", "-t", "ed25519", "-N", "secret").text)).toEqual({
      fault: "encrypted",
    });
  });

  it("is refused where it is of another type", () => {
    expect(parsePrivateKey(make("ecdsa", "-t", "ecdsa", "-N", "").text)).toEqual({ fault: "other_type" });
  });

  it("is refused where it is cut short or damaged", () => {
    const { text } = make("damaged", "-t", "ed25519", "-N", "");
    const lines = text.trimEnd().split("\n");

    expect(parsePrivateKey(lines.toSpliced(2, 1).join("\n"))).toEqual({ fault: "malformed" });
    expect(parsePrivateKey(lines.slice(0, -1).join("\n"))).toEqual({ fault: "malformed" });
  });

  it("is refused where its two halves are not of one pair", () => {
    const { text, line } = make("mixed", "-t", "ed25519", "-N", "");
    const [head = "", ...body] = text.trimEnd().split("\n");
    const bytes = Buffer.from(body.slice(0, -1).join(""), "base64");
    const point = Buffer.from(line.split(" ")[1] ?? "", "base64").subarray(-32);
    const last = bytes.lastIndexOf(point);
    bytes.writeUInt8(bytes.readUInt8(last) ^ 1, last);

    const mixed = [head, bytes.toString("base64"), body.at(-1), ""].join("\n");
    expect(parsePrivateKey(mixed)).toEqual({ fault: "malformed" });
  });

  function make(name: string, ...words: string[]) {
    const path = join(directory, name);
    execFileSync("ssh-keygen", ["-q", "-f", path, ...words]);
    return { text: readFileSync(path, "utf8"), line: readFileSync(`${path}.pub`, "utf8") };
  }
});

describe("a private key in PEM", () => {
  const ed25519 = generateKeyPairSync("ed25519").privateKey;

  it("is taken as PKCS #8", () => {
    const read = parsePrivateKey(ed25519.export({ format: "pem", type: "pkcs8" }).toString());

    expect("key" in read && read.key.equals(ed25519)).toBe(true);
  });

  it("is not opened where it is encrypted", () => {
    const locked = ed25519.export({
      format: "pem",
      type: "pkcs8",
      cipher: "aes-256-cbc",
      passphrase: "secret",
    });

    expect(parsePrivateKey(locked.toString())).toEqual({ fault: "encrypted" });
  });

  it("is refused where it is of another type", () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });

    expect(parsePrivateKey(privateKey.export({ format: "pem", type: "pkcs8" }).toString())).toEqual({
      fault: "other_type",
    });
  });

  it.each([
    "",
    "ssh-ed25519 AAAA",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
  ])("is none: %j", (text) => {
    expect(parsePrivateKey(text)).toEqual({ fault: "malformed" });
  });
});
