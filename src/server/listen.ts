import { existsSync, lstatSync, rmSync, type Stats } from "node:fs";
import { chmod } from "node:fs/promises";
import type { Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { dirname } from "node:path";
import { MidctlError } from "../domain/errors.ts";
import { quote } from "../domain/visible.ts";
import { type Address, formatAddress } from "./address.ts";

/**
 * Listens there and returns where indeed: with the port that was free, where any would do. Of what stands at a unix
 * socket's path only a dead socket is removed.
 * @throws MidctlError `conflict` where that place is taken, `denied`, `usage`
 */
export async function listenAt(server: Server, address: Address): Promise<Address> {
  if (address.kind === "unix") await removeDeadSocket(address.path);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(explainListening(address, error)));
    server.listen(
      address.kind === "unix" ? { path: address.path } : { host: address.host, port: address.port },
      () => {
        server.removeAllListeners("error");
        resolve();
      },
    );
  });
  if (address.kind === "unix") {
    // Who may ask is a matter of the directory; whoever asks has to authenticate all the same.
    await chmod(address.path, 0o666);
    return address;
  }
  return { ...address, port: (server.address() as AddressInfo).port };
}

/**
 * A socket whose server was killed stays behind and is removed. One that somebody answers at stays untouched, and so does
 * everything else: a file there is a slip in the path, and not ours.
 */
async function removeDeadSocket(path: string): Promise<void> {
  const found = lookAt(path);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new MidctlError(
      "conflict",
      `${quote(path)} exists and is no socket; it is left as it is, and nothing is served.`,
      { hint: "Give another path, or remove it yourself." },
    );
  }
  const error = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
    const probe = connect(path, () => resolve(null)).on("error", resolve);
    probe.once("close", () => probe.destroy()).once("connect", () => probe.destroy());
  });
  const after = lookAt(path);
  const isSame = after?.isSocket() === true && after.ino === found.ino && after.dev === found.dev;
  if (error?.code === "ECONNREFUSED" && isSame) rmSync(path, { force: true });
}

/** undefined where nothing is, or where listening will tell what is wrong with the way there. */
function lookAt(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

function explainListening(address: Address, error: NodeJS.ErrnoException): MidctlError {
  const where = formatAddress(address);
  const details = { address: where, errno: error.code };
  // Node says EACCES of a directory that is not there.
  if (address.kind === "unix" && !existsSync(dirname(address.path))) {
    return new MidctlError("usage", `The directory of ${where} does not exist; nothing is served.`, {
      hint: "Make it first, or give a path in another.",
      details,
    });
  }
  switch (error.code) {
    case "EADDRINUSE":
      return new MidctlError("conflict", `Another process listens at ${where}; nothing is served.`, {
        hint: "Give another --listen, or port 0 for any free one.",
        details,
      });
    case "EACCES":
    case "EPERM":
      return new MidctlError("denied", `This user may not listen at ${where}; nothing is served.`, {
        hint: "Give a port above 1023, or a socket in a directory of this user.",
        details,
      });
    default:
      return new MidctlError("usage", `${where} cannot be listened at (${error.code}); nothing is served.`, {
        hint: "Give an address of this machine, such as 127.0.0.1:8484.",
        details,
      });
  }
}
