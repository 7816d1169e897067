import { rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { openTrustDesk, type Signing, type TrustDesk } from "../support/trust.ts";
import { type Answer, type Desk, openDesk, splitWords, type Words } from "./desk.ts";

/** A desk in a protected environment: alice asks, bob and carol may approve. */
export interface ProtectedDesk extends Desk {
  readonly trust: TrustDesk;
  /** Runs a gated command signed by alice, expects exit 6, and returns what it tells of the request. */
  request(words: Words, by?: Signing): Promise<Requested>;
  /** Approves by a key, off a terminal. */
  approve(id: string, by?: Signing): Promise<Answer>;
  /** Requests, approves and carries out. */
  carryThrough(words: Words): Promise<Requested>;
}

export interface Requested {
  readonly id: string;
  readonly digest: string;
  readonly message: string;
  readonly hint: string | null;
  readonly planFile: string;
}

/** @param before what is done while nothing is protected yet */
export async function openProtectedDesk(
  policy: Readonly<Record<string, unknown>> = { quorum: 1 },
  before?: (desk: Desk) => Promise<unknown>,
): Promise<ProtectedDesk> {
  const trust = openTrustDesk(["alice", "bob", "carol"], policy);
  const desk = await openDesk({ MIDCTL_TRUST_DIR: trust.dir });
  if (before !== undefined) {
    await desk.ask("db init --environment production");
    await before(desk);
  }
  await desk.ask("db init --environment production --protected");

  const request: ProtectedDesk["request"] = async (words, by = "alice") => {
    const { exit, code, message, hint, details } = await desk.refuse([
      ...splitWords(words),
      "--key",
      trust.keyFile(by),
    ]);
    expect({ exit, code }, message).toEqual({ exit: 6, code: "approval_required" });
    return {
      id: details.approval as string,
      digest: details.digest as string,
      message,
      hint,
      planFile: join(desk.directory, String(details.planFile)),
    };
  };
  const approve: ProtectedDesk["approve"] = (id, by = "bob") =>
    desk.ask(["approval", "approve", id, "--key", trust.keyFile(by), "--yes"]);
  return {
    ...desk,
    trust,
    request,
    approve,
    async carryThrough(words) {
      const requested = await request(words);
      await approve(requested.id);
      await desk.ask(["approval", "apply", requested.id]);
      return requested;
    },
    async dispose() {
      trust.dispose();
      await desk.dispose();
      rmSync(desk.directory, { recursive: true, force: true });
    },
  };
}
