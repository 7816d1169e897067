import { hash } from "node:crypto";

/**
 * What a signature under a plan means is its namespace (SSHSIG): one that asks is none that approves, whoever moves it.
 * Version 1 of plans, SPEC §9.
 */
export const NAMESPACES = {
  request: "midctl-request@v1",
  approval: "midctl-approval@v1",
  rejection: "midctl-rejection@v1",
} as const;
/** Under a receipt, which decides nothing. */
export const RECEIPT_NAMESPACE = "midctl-receipt@v1";
export type VoteKind = keyof typeof NAMESPACES;

/** What a line does that issues a token, or covers one that is there: these alone name a token, and verifiers go by them. */
export const COVERING = [
  "credential.issue",
  "credential.rotate",
  "identity.adopt",
  "environment.protect",
] as const;

/** Longest time from request to execution, in seconds: 24 hours (SPEC §9). */
export const LONGEST_EXECUTION = 86_400;
/** So much of the digest, in hex digits, is typed by whoever approves. */
export const TYPED_DIGITS = 8;

/**
 * What a plan says in place of the hash that a token is kept as: enough to recognize it by, and no use to whoever reads the
 * plan and would be taken for its holder. The database says the same in `midctl_commitment`.
 * @param tokenHash hex
 * @returns hex
 */
export function commitToHash(tokenHash: string): string {
  return hash("sha256", `midctl/plan/v1\0${tokenHash}`, "hex");
}

/** What people approve: SHA-256 of the plan's canonical bytes, in hex. */
export function digestOf(plan: string): string {
  return hash("sha256", plan, "hex");
}
