/**
 * Every command and where it lives. Light on purpose: a process loads this table and the one verb that it runs.
 * A new command is one line here.
 */
import type { Verb } from "./verb.ts";

export interface RegistryEntry {
  readonly path: string;
  readonly load: () => Promise<Verb>;
  /** Runs when its noun is given alone: bare `audit` is `audit list`. */
  readonly isDefault?: boolean;
}

export const registry: readonly RegistryEntry[] = [
  { path: "identity create", load: async () => (await import("./verbs/identity-create.ts")).identityCreate },
  { path: "identity show", load: async () => (await import("./verbs/identity-show.ts")).identityShow },
  { path: "identity update", load: async () => (await import("./verbs/identity-update.ts")).identityUpdate },
  { path: "identity import", load: async () => (await import("./verbs/identity-import.ts")).identityImport },
  { path: "identity adopt", load: async () => (await import("./verbs/identity-adopt.ts")).identityAdopt },
  {
    path: "credential issue",
    load: async () => (await import("./verbs/credential-issue.ts")).credentialIssue,
  },
  {
    path: "credential rotate",
    load: async () => (await import("./verbs/credential-rotate.ts")).credentialRotate,
  },
  {
    path: "credential prepare",
    load: async () => (await import("./verbs/credential-prepare.ts")).credentialPrepare,
  },
  {
    path: "credential activate",
    load: async () => (await import("./verbs/credential-activate.ts")).credentialActivate,
  },
  { path: "credential show", load: async () => (await import("./verbs/credential-show.ts")).credentialShow },
  { path: "pause", load: async () => (await import("./verbs/pause.ts")).pause },
  { path: "resume", load: async () => (await import("./verbs/resume.ts")).resume },
  { path: "revoke", load: async () => (await import("./verbs/revoke.ts")).revoke },
  { path: "token sunset", load: async () => (await import("./verbs/token-sunset.ts")).tokenSunset },
  { path: "list", load: async () => (await import("./verbs/list.ts")).list },
  {
    path: "audit list",
    load: async () => (await import("./verbs/audit-list.ts")).auditList,
    isDefault: true,
  },
  { path: "audit follow", load: async () => (await import("./verbs/audit-follow.ts")).auditFollow },
  { path: "audit trace", load: async () => (await import("./verbs/audit-trace.ts")).auditTrace },
  {
    path: "audit verify",
    load: async () => (await import("./verbs/audit-verify.ts")).auditVerify,
  },
  {
    path: "audit checkpoint",
    load: async () => (await import("./verbs/audit-checkpoint.ts")).auditCheckpoint,
  },
  { path: "audit export", load: async () => (await import("./verbs/audit-export.ts")).auditExport },
  { path: "audit prove", load: async () => (await import("./verbs/audit-prove.ts")).auditProve },
  {
    path: "audit reconcile",
    load: async () => (await import("./verbs/audit-reconcile.ts")).auditReconcile,
  },
  { path: "verify", load: async () => (await import("./verbs/verify.ts")).verify },
  { path: "serve", load: async () => (await import("./verbs/serve.ts")).serve },
  { path: "mcp", load: async () => (await import("./verbs/mcp.ts")).mcp },
  { path: "runbook check", load: async () => (await import("./verbs/runbook-check.ts")).runbookCheck },
  { path: "runbook plan", load: async () => (await import("./verbs/runbook-plan.ts")).runbookPlan },
  { path: "runbook run", load: async () => (await import("./verbs/runbook-run.ts")).runbookRun },
  { path: "runbook resume", load: async () => (await import("./verbs/runbook-resume.ts")).runbookResume },
  { path: "runbook status", load: async () => (await import("./verbs/runbook-status.ts")).runbookStatus },
  {
    path: "approval list",
    load: async () => (await import("./verbs/approval-list.ts")).approvalList,
    isDefault: true,
  },
  { path: "approval show", load: async () => (await import("./verbs/approval-show.ts")).approvalShow },
  {
    path: "approval approve",
    load: async () => (await import("./verbs/approval-approve.ts")).approvalApprove,
  },
  { path: "approval reject", load: async () => (await import("./verbs/approval-reject.ts")).approvalReject },
  { path: "approval cancel", load: async () => (await import("./verbs/approval-cancel.ts")).approvalCancel },
  { path: "approval apply", load: async () => (await import("./verbs/approval-apply.ts")).approvalApply },
  { path: "approval wait", load: async () => (await import("./verbs/approval-wait.ts")).approvalWait },
  { path: "approval export", load: async () => (await import("./verbs/approval-export.ts")).approvalExport },
  { path: "approval import", load: async () => (await import("./verbs/approval-import.ts")).approvalImport },
  { path: "status", load: async () => (await import("./verbs/status.ts")).status },
  { path: "sweep", load: async () => (await import("./verbs/sweep.ts")).sweep },
  { path: "doctor", load: async () => (await import("./verbs/doctor.ts")).doctor },
  { path: "db migrate", load: async () => (await import("./verbs/db-migrate.ts")).dbMigrate },
  { path: "db init", load: async () => (await import("./verbs/db-init.ts")).dbInit },
  { path: "db protect", load: async () => (await import("./verbs/db-protect.ts")).dbProtect },
  { path: "db status", load: async () => (await import("./verbs/db-status.ts")).dbStatus },
  { path: "db grant", load: async () => (await import("./verbs/db-grant.ts")).dbGrant },
  { path: "db rollback", load: async () => (await import("./verbs/db-rollback.ts")).dbRollback },
  { path: "db push", load: async () => (await import("./verbs/db-push.ts")).dbPush },
  { path: "db stop", load: async () => (await import("./verbs/db-stop.ts")).dbStop },
  { path: "context list", load: async () => (await import("./verbs/context-list.ts")).contextList },
  { path: "context show", load: async () => (await import("./verbs/context-show.ts")).contextShow },
  { path: "context use", load: async () => (await import("./verbs/context-use.ts")).contextUse },
  { path: "context set", load: async () => (await import("./verbs/context-set.ts")).contextSet },
  { path: "context remove", load: async () => (await import("./verbs/context-remove.ts")).contextRemove },
  { path: "completion", load: async () => (await import("./verbs/completion.ts")).completion },
  { path: "help", load: async () => (await import("./verbs/help.ts")).help },
  { path: "version", load: async () => (await import("./verbs/version.ts")).version },
];

/** What people type in another system's words, and what it is here. */
export const otherWords: Readonly<Record<string, string>> = {
  "identity list": "list identities",
  "credential list": "list credentials",
  "token list": "list tokens",
  "identity delete": "revoke",
  "credential delete": "revoke",
  delete: "revoke",
  remove: "revoke",
  disable: "pause",
  enable: "resume",
  suspend: "pause",
  get: "identity show",
  ls: "list",
  log: "audit",
  logs: "audit",
};

export function findEntry(path: string): RegistryEntry | undefined {
  return registry.find((entry) => entry.path === path);
}

/** Whether some command lies under this word. */
export function isNoun(word: string): boolean {
  return registry.some((entry) => entry.path.startsWith(`${word} `));
}

/** What may follow `path` (empty: the root): subcommands and nouns, each once. */
export function wordsAfter(path: string): readonly string[] {
  const prefix = path === "" ? "" : `${path} `;
  const words = registry
    .filter((entry) => entry.path.startsWith(prefix))
    .map((entry) => entry.path.slice(prefix.length).split(" ")[0] ?? "");
  return [...new Set(words)];
}
