import { type ErrorCode, MidctlError } from "../domain/errors.ts";
import { CLASSES, DENIED, GUARDS, type Meaning, RULES, STATES } from "./sql-states.ts";

/**
 * The connection went while COMMIT was under way: the change is either whole or absent, and only the database
 * knows which. Its `details` are `{ commit: "unknown" }`.
 */
export class CommitUnknown extends MidctlError {
  constructor() {
    super(
      "unavailable",
      "The connection to the database was lost while the change was being committed: it is unknown whether it was made.",
      { hint: "Look at the present state before trying again.", details: { commit: "unknown" } },
    );
  }
}

/**
 * Turns whatever a driver threw into a MidctlError. The SQLSTATE, found at `error.code` or, from drizzle, at
 * `error.cause.code`, decides; it is kept in `details.sqlState`, and as `code` of a bare cause so that a host's own retry
 * of 40001 works. Neither the driver's error nor its parameters, URL, query or row values are carried along: they
 * may hold hashes. A MidctlError passes unchanged.
 */
export function toMidctlError(error: unknown): MidctlError {
  if (error instanceof MidctlError) return error;
  const raised = findRaised(error);
  if (raised === null) return fromUnknown(error);
  return raised.isSqlState ? fromSqlState(raised) : fromConnection(raised.code);
}

/** The SQLSTATE a failure came with, or null where it did not come from PostgreSQL. */
export function readSqlState(error: unknown): string | null {
  if (!(error instanceof MidctlError)) return null;
  const state = error.details.sqlState;
  return typeof state === "string" ? state : null;
}

interface Raised {
  readonly code: string;
  readonly isSqlState: boolean;
  readonly message: string;
  readonly detail: string | null;
  readonly hint: string | null;
  readonly constraint: string | null;
  readonly table: string | null;
}

/** drizzle wraps once, a host may wrap again: five steps down is as far as anybody goes. */
function findRaised(error: unknown): Raised | null {
  let at: unknown = error;
  for (let depth = 0; depth < 5 && typeof at === "object" && at !== null; depth += 1) {
    const fields = at as Record<string, unknown>;
    const code = fields.code;
    if (typeof code === "string") {
      return {
        code,
        // Node's own codes are longer, or (EPIPE) come without the severity that PostgreSQL always sends.
        isSqlState: /^[0-9A-Z]{5}$/.test(code) && !code.startsWith("E"),
        message: readText(fields.message) ?? "",
        detail: readText(fields.detail),
        hint: readText(fields.hint),
        constraint: readText(fields.constraint_name ?? fields.constraint),
        table: readText(fields.table_name ?? fields.table),
      };
    }
    // A connection refused on every address of a name is an AggregateError without a code of its own.
    const inner = fields.errors;
    at = Array.isArray(inner) && inner.length > 0 ? inner[0] : fields.cause;
  }
  return null;
}

function readText(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function fromSqlState(raised: Raised): MidctlError {
  const { code: sqlState } = raised;
  const guard = GUARDS[sqlState];
  if (guard !== undefined) {
    return build(raised, guard, raised.message, raised.hint, parseDetail(raised.detail));
  }
  if (sqlState === "23505") {
    return build(
      raised,
      "conflict",
      `There is one already${ofConstraint(raised)}; nothing was changed.`,
      null,
    );
  }
  const rule = RULES[raised.constraint ?? ""];
  if (rule !== undefined) return build(raised, rule.code, rule.message, rule.hint ?? null);
  if (sqlState.startsWith("23")) {
    return build(
      raised,
      "conflict",
      `The database's rules forbid this${ofConstraint(raised)}; nothing was changed.`,
      null,
    );
  }
  if (sqlState === "42501") {
    // PostgreSQL names the object, and nothing of its rows.
    const { code, message, hint } = DENIED;
    return build(raised, code, `${message} (${raised.message}); nothing was changed.`, hint);
  }
  const meaning = STATES[sqlState] ?? CLASSES[sqlState.slice(0, 2)];
  if (meaning !== undefined) return build(raised, meaning.code, meaning.message, meaning.hint ?? null);
  // Class 22 quotes the offending value, which may be anything; the rest is about statements, and helps us.
  const said = sqlState.startsWith("22") ? "a value does not fit its type" : raised.message;
  return build(raised, "internal", `The database refused a statement (${sqlState}): ${said}`, null);
}

function ofConstraint(raised: Raised): string {
  return raised.constraint === null ? "" : ` (${raised.constraint})`;
}

function build(
  raised: Raised,
  code: ErrorCode,
  message: string,
  hint: string | null,
  details: Record<string, unknown> = {},
): MidctlError {
  const named = {
    ...(raised.constraint === null ? {} : { constraint: raised.constraint }),
    ...(raised.table === null ? {} : { table: raised.table }),
  };
  return new MidctlError(code, message, {
    ...(hint === null ? {} : { hint }),
    details: { ...details, ...named, sqlState: raised.code },
    // Class 42 is about the statement itself, not about values: its text may be kept for --debug.
    cause: Object.assign(new Error(raised.code.startsWith("42") ? raised.message : message), {
      code: raised.code,
    }),
  });
}

/** Guards may say more in DETAIL as a JSON object; anything else there (PostgreSQL's own quotes rows) is dropped. */
function parseDetail(detail: string | null): Record<string, unknown> {
  if (detail === null || !detail.startsWith("{")) return {};
  try {
    return JSON.parse(detail) as Record<string, unknown>;
  } catch {
    return {};
  }
}

const CONNECTION: Readonly<Record<string, string>> = {
  ECONNREFUSED: "Nothing answers at the database's address.",
  ENOENT: "The database's socket does not exist.",
  EACCES: "The database's socket may not be opened by this user.",
  EPERM: "The database's socket may not be opened by this user.",
  ENOTFOUND: "The database's host name is unknown.",
  EAI_AGAIN: "The database's host name could not be looked up.",
  ETIMEDOUT: "The database did not answer in time.",
  CONNECT_TIMEOUT: "The database did not answer in time.",
  EHOSTUNREACH: "The database's host cannot be reached.",
  ENETUNREACH: "The database's host cannot be reached.",
  SASL_SIGNATURE_MISMATCH: "The database did not prove that it knows the password: it may be an impostor.",
};

/** What a certificate may be refused for; where it was good before, somebody may stand in between. */
const CERTIFICATE: Readonly<Record<string, Meaning>> = {
  ERR_TLS_CERT_ALTNAME_INVALID: {
    code: "unavailable",
    message: "The database's certificate was made out for another host; nothing was sent.",
    hint: "Give the name that it bears as the host; where to connect goes into hostaddr=ADDRESS, as for a tunnel.",
  },
  CERT_HAS_EXPIRED: {
    code: "unavailable",
    message: "The database's certificate has expired; nothing was sent.",
    hint: "Renew it on the server, and check this machine's clock.",
  },
};
const UNTRUSTED: Meaning = {
  code: "unavailable",
  message: "The database's certificate is not trusted here; nothing was sent.",
  hint: "Name its authority with sslrootcert=FILE. If it was trusted before, find out who answers there.",
};

const UNTRUSTED_CODE = /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT|UNABLE_TO_|CERT_|HOSTNAME_MISMATCH)/;

function fromConnection(code: string): MidctlError {
  const certificate = CERTIFICATE[code] ?? (UNTRUSTED_CODE.test(code) ? UNTRUSTED : null);
  if (certificate !== null) {
    const { message, hint = "" } = certificate;
    return new MidctlError("unavailable", message, { hint, details: { reason: code } });
  }
  const known = CONNECTION[code];
  if (known !== undefined) {
    const hint = "Check that the server runs and can be reached.";
    return new MidctlError("unavailable", known, { hint, details: { reason: code } });
  }
  if (LOST.has(code)) return connectionLost(code);
  if (/^(ERR_SSL_|EPROTO$)/.test(code)) {
    return new MidctlError("unavailable", `The encrypted connection to the database failed (${code}).`, {
      hint: "The server may want a client certificate (sslcert, sslkey), or speak an older TLS; its log says more.",
      details: { reason: code },
    });
  }
  return new MidctlError("internal", `The database driver failed (${code}).`, { details: { reason: code } });
}

const LOST = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_DESTROYED",
  "CONNECTION_ENDED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ERR_STREAM_WRITE_AFTER_END",
  "ERR_STREAM_DESTROYED",
]);

/** A connection that ended while it was in use, outside COMMIT. In a transaction, that means that nothing was changed. */
export function connectionLost(reason: string, outcome: "unknown" | "unchanged" = "unknown"): MidctlError {
  return outcome === "unchanged"
    ? new MidctlError("unavailable", "The connection to the database was lost; nothing was changed.", {
        hint: "Check that the server runs, and try again.",
        details: { reason },
      })
    : new MidctlError("unavailable", "The connection to the database was lost.", {
        hint: "Check that the server runs, look at the present state, and try again.",
        details: { reason },
      });
}

/** Whether a failure is the connection's, at any time of its life, and not the server's answer. */
export function isConnectionFailure(error: MidctlError): boolean {
  return error.code === "unavailable" && typeof error.details.reason === "string";
}

/** Whether a failure is a `connectionLost`. */
export function isConnectionLost(error: unknown): error is MidctlError {
  return error instanceof MidctlError && LOST.has(String(error.details.reason));
}

function fromUnknown(error: unknown): MidctlError {
  const name = error instanceof Error ? error.name : typeof error;
  return new MidctlError("internal", `The database driver failed (${name}).`);
}
