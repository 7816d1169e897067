import { MidctlError } from "../domain/errors.ts";
import { quote } from "../domain/visible.ts";

/** Where a server listens. */
export type Address =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** A unix socket's path has at most 103 bytes on macOS, 107 on Linux. */
const SOCKET_PATH_MAX = 103;

/** `127.0.0.1:8484`, `[::1]:8484`, `name:8484`, `unix:/run/midctl.sock`; port 0 is any free one. Throws `usage`. */
export function parseAddress(text: string): Address {
  if (text.startsWith("unix:")) return { kind: "unix", path: parsePath(text.slice("unix:".length), text) };
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/@]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host !== undefined && port <= 65_535) return { kind: "tcp", host, port };
  throw new MidctlError("usage", `${quote(text)} is not an address to listen at.`, {
    hint: "Give 127.0.0.1:8484, [::1]:8484 or unix:/run/midctl/serve.sock.",
  });
}

/** Whether only this machine can reach it. */
export function isLocal(address: Address): boolean {
  return (
    address.kind === "unix" ||
    /^(localhost|127(\.\d{1,3}){3}|::1|::ffff:127(\.\d{1,3}){3})$/i.test(address.host)
  );
}

/** As a URL; a unix socket as nginx and curl write it. */
export function formatAddress(address: Address): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  return `http://${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
}

function parsePath(path: string, text: string): string {
  if (/^\/[^\0]*[^\0/]$/.test(path) && Buffer.byteLength(path) <= SOCKET_PATH_MAX) return path;
  throw new MidctlError("usage", `${quote(text)} is not the path of a socket.`, {
    hint: `Give an absolute path of at most ${SOCKET_PATH_MAX} bytes: unix:/run/midctl/serve.sock.`,
  });
}
