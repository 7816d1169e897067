import { MidctlError } from "../domain/errors.ts";
import type { TrustRoot } from "../domain/trust.ts";
import { followTrust, loadTrust, type TrustSource } from "../operations/approval/trust-dir.ts";
import type { VerbContext } from "./context.ts";
import type { Place } from "./place.ts";

/** The trust root that the settings name; null where they name none. Throws `usage` for one that is not understood. */
export function readTrustRoot(context: VerbContext): TrustRoot | null {
  const dir = context.settings.trustDir.value;
  return dir === null ? null : loadTrust(dir);
}

/** The same, followed as it changes, for what runs on. */
export function followTrustRoot(context: VerbContext): TrustSource | null {
  const dir = context.settings.trustDir.value;
  return dir === null ? null : followTrust(dir);
}

/** Without one nobody can tell who may approve. */
export function requireTrustRoot(context: VerbContext): TrustRoot {
  const trust = readTrustRoot(context);
  if (trust !== null) return trust;
  throw new MidctlError(
    "usage",
    "approvals are judged by a trust root, and none is named; nothing was changed",
    {
      hint: "--trust-dir DIR, MIDCTL_TRUST_DIR or the context's: a checkout with allowed_signers and policy.json (docs/approvals.md)",
    },
  );
}

/** Whoever can run midctl beside an embedded engine owns its files: nobody's approval could bind them. */
export function refuseEmbedded(place: Place): void {
  if (place.kind !== "embedded") return;
  throw new MidctlError(
    "conflict",
    "the embedded PostgreSQL cannot be a protected environment; nothing was changed",
    {
      hint: "whoever can run midctl here owns its files, so nobody's approval could bind them; use a server: --database-url",
    },
  );
}
