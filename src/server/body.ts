/** Largest body that is read, in bytes. No request of ours needs more than a few hundred. */
export const BODY_MAX = 64 * 1024;

export type Body = { readonly text: string } | { readonly problem: "too_long" | "broken_off" };

/** The body as text (UTF-8; what is not becomes U+FFFD). Never throws: a client may be gone before it has said all. */
export async function readBody(request: Request): Promise<Body> {
  try {
    const declared = request.headers.get("content-length");
    // Node's parser holds the body to a length that was declared, so nothing need be counted.
    if (declared !== null) {
      return Number(declared) > BODY_MAX ? { problem: "too_long" } : { text: await request.text() };
    }
    return await readCounting(request);
  } catch {
    return { problem: "broken_off" };
  }
}

async function readCounting(request: Request): Promise<Body> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.byteLength;
    if (length > BODY_MAX) return { problem: "too_long" };
    chunks.push(chunk);
  }
  return { text: Buffer.concat(chunks).toString("utf8") };
}
