import type { ErrorCode } from "../domain/errors.ts";

/** What PostgreSQL's codes mean to whoever ran a command. */

/** What our own guards raise (migrations/): their text is written for people and holds no secret. */
export const GUARDS: Readonly<Record<string, ErrorCode>> = {
  MC001: "illegal_transition",
  MC002: "conflict",
  MC003: "illegal_transition",
  MC004: "conflict",
  MC005: "approval_required",
};

export interface Meaning {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}

const TRY_AGAIN = "Try again; if it persists, `midctl doctor` looks at the database.";
/** A database that is only half restored looks so too, and what migrated it would stand in the restore's way. */
export const WAIT_OR_MIGRATE =
  "If it is being restored, wait until that is done; else run `midctl db migrate`.";

const MIGRATE: Meaning = {
  code: "schema_version",
  message: "This database has no midctl schema, or an older one.",
  hint: WAIT_OR_MIGRATE,
};

export const DENIED = {
  code: "denied",
  message: "The database user lacks a right that this needs",
  hint: "The owner of the schema gives it: `midctl db grant --role ROLE NAME`; --dry-run prints what a role needs.",
} as const;

/** Rules of tables of which there is more to say than their name. */
export const RULES: Readonly<Record<string, Meaning>> = {
  midctl_log_entry_size_check: {
    code: "usage",
    message: "What the log would say of this is longer than 1 MiB; nothing was changed.",
    hint: "Give a shorter reason, or shorter names.",
  },
};

export const STATES: Readonly<Record<string, Meaning>> = {
  "40001": {
    code: "unavailable",
    message: "A concurrent change got in the way again and again; nothing was changed.",
    hint: TRY_AGAIN,
  },
  "40P01": {
    code: "unavailable",
    message: "Two changes waited for each other again and again; nothing was changed.",
    hint: TRY_AGAIN,
  },
  "42P01": MIGRATE,
  "42703": MIGRATE,
  "42883": MIGRATE,
  "3F000": MIGRATE,
  "25006": {
    code: "unavailable",
    message: "The database is read-only; nothing was changed.",
    hint: "Connect to the primary, or end the read-only mode.",
  },
  "55P03": {
    code: "unavailable",
    message: "Another session holds a lock that this needs; nothing was changed.",
    hint: TRY_AGAIN,
  },
  "57014": {
    code: "unavailable",
    message: "The statement was cancelled, by an operator or a time limit; nothing was changed.",
    hint: TRY_AGAIN,
  },
  "57P03": {
    code: "unavailable",
    message: "The database is starting up or shutting down.",
    hint: "Try again in a few seconds.",
  },
  "53300": {
    code: "unavailable",
    message: "The database has no connection left for us.",
    hint: "Try again when others have disconnected, or raise max_connections.",
  },
  "53100": {
    code: "unavailable",
    message: "The database's disk is full; nothing was changed.",
    hint: "Make room on the server.",
  },
  "3D000": {
    code: "unavailable",
    message: "The server is there, but the named database is not.",
    hint: "Create the database, or correct its name in the URL.",
  },
  "0A000": {
    code: "unavailable",
    message: "The schema changed while this connection was open; nothing was changed.",
    hint: "Run the command again.",
  },
};

export const CLASSES: Readonly<Record<string, Meaning>> = {
  "08": {
    code: "unavailable",
    message: "The connection to the database failed.",
    hint: "Check that the server runs and can be reached.",
  },
  "28": {
    code: "unavailable",
    message: "The database refused this user or password.",
    hint: "Check user, password and pg_hba.conf.",
  },
  "53": {
    code: "unavailable",
    message: "The database is out of a resource; nothing was changed.",
    hint: TRY_AGAIN,
  },
  "57": {
    code: "unavailable",
    message: "The database ended the connection or the statement; nothing was changed.",
    hint: TRY_AGAIN,
  },
  "58": {
    code: "unavailable",
    message: "The database failed at its own files or system.",
    hint: "Look into the server's log.",
  },
};
