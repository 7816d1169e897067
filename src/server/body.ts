/** Largest body that is read, in bytes. No request of ours needs more than a few hundred. */
export const BODY_MAX = 64 * 1024;

/** The body as text (UTF-8, what is not becomes U+FFFD); null where it is larger than `BODY_MAX`. */
export async function readBody(request: Request): Promise<string | null> {
  const declared = request.headers.get("content-length");
  // Node's parser holds the body to a length that was declared, so nothing need be counted.
  if (declared !== null) return Number(declared) > BODY_MAX ? null : request.text();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.byteLength;
    if (length > BODY_MAX) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
