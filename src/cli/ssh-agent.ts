/** OpenSSH's agent, spoken to directly: `ssh-keygen` signs in its own format alone, and a note wants the bare signature. */
import { connect } from "node:net";
import { MidctlError } from "../domain/errors.ts";
import { type PublicKey, parsePublicKey } from "../domain/ssh-key.ts";
import { WireReader, wireString } from "../domain/ssh-wire.ts";

const LIST = 11;
const LISTED = 12;
const SIGN = 13;
const SIGNED = 14;
const LENGTH_SIZE = 4;
/** What OpenSSH's agent sends at most. */
const LONGEST = 256 * 1024;

/** The keys that the agent at this socket holds, of types that are known here. @throws MidctlError `usage` */
export async function listAgentKeys(socket: string): Promise<PublicKey[]> {
  const answer = await ask(socket, Buffer.of(LIST));
  const reader = new WireReader(answer.subarray(1));
  if (answer[0] !== LISTED) throw refused("listed no keys");
  const blobs = Array.from({ length: Math.min(reader.number(), LONGEST) }, () => {
    const blob = reader.string();
    reader.string();
    return blob;
  });
  if (!reader.done()) throw refused("gave an answer that cannot be read");
  return blobs.flatMap((blob) => parsePublicKey(blob) ?? []);
}

/** The bare signature by one of the agent's keys. @throws MidctlError `usage`, `denied` where it makes none */
export async function signByAgent(socket: string, key: PublicKey, text: string): Promise<Buffer> {
  const blob = Buffer.from(key.blob, "base64");
  const answer = await ask(
    socket,
    Buffer.concat([Buffer.of(SIGN), wireString(blob), wireString(text), Buffer.alloc(LENGTH_SIZE)]),
  );
  const outer = new WireReader(answer.subarray(1));
  const inner = new WireReader(outer.string());
  const type = inner.text();
  const signature = inner.string();
  if (answer[0] === SIGNED && type === key.type && inner.done() && outer.done()) return signature;
  throw new MidctlError("denied", "The agent made no signature; nothing was written.", {
    hint: "ssh-add -l shows what it holds; it may have asked for a confirmation that nobody gave.",
  });
}

function ask(path: string, message: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    let received = Buffer.alloc(0);
    const fail = (what: string) => {
      socket.destroy();
      reject(refused(what));
    };
    socket.on("error", (error: NodeJS.ErrnoException) => fail(`cannot be reached (${error.code})`));
    socket.on("close", () => fail("ended before it answered"));
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < LENGTH_SIZE) return;
      const length = received.readUInt32BE();
      if (length === 0 || length > LONGEST) return fail("gave an answer that cannot be read");
      if (received.length < LENGTH_SIZE + length) return;
      socket.removeAllListeners("close");
      socket.destroy();
      resolve(received.subarray(LENGTH_SIZE, LENGTH_SIZE + length));
    });
    socket.write(wireString(message));
  });
}

function refused(what: string): MidctlError {
  return new MidctlError("usage", `The agent ${what}; nothing was signed.`, {
    hint: 'eval "$(ssh-agent)", then ssh-add KEY',
  });
}
