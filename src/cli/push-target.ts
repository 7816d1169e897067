import { MidctlError } from "../domain/errors.ts";
import type { VerbContext } from "./context.ts";
import { contextNamePattern, readContextFile } from "./contexts.ts";
import { hasPassword } from "./redact.ts";
import { resolveSettings, type Settings } from "./settings.ts";

const URL_START = /^postgres(?:ql)?:\/\//;

/**
 * Judges where to push: a URL by the rules of `--database-url`, or the name of a context.
 * @throws MidctlError `usage`; a URL with a password is not quoted
 */
export function parseTarget(words: string): string {
  if (hasPassword(words)) {
    throw new MidctlError(
      "usage",
      "the target holds a password, which every user of this machine can read; nothing was done",
      {
        hint: "change that password; then put the URL into a context (midctl context set NAME --database-url-stdin) and push to NAME, or the password into PGPASSFILE",
      },
    );
  }
  if (URL_START.test(words) || contextNamePattern.test(words)) return words;
  throw new MidctlError("usage", "the target is neither a postgres:// URL nor a context; nothing was done");
}

/** Whether a target is a context's name. */
export function isContext(target: string): boolean {
  return !URL_START.test(target);
}

/** The settings by which the target is opened, and its URL. */
export function settleTarget(context: VerbContext, target: string): { settings: Settings; url: string } {
  const { databaseUrl: _source, context: _context, ...flags } = context.flags;
  const settings = resolveSettings(
    {
      ...flags,
      databaseUrl: isContext(target) ? undefined : target,
      context: isContext(target) ? target : undefined,
    },
    context.env,
    context.terminal.stdoutIsTerminal,
    () => readContextFile(context.env),
  );
  const url = settings.databaseUrl.value;
  if (url !== null) return { settings, url };
  throw new MidctlError(
    "usage",
    `the context ${target} names no server, and an embedded PostgreSQL takes nothing over; nothing was done`,
    { hint: `midctl context set ${target} --database-url postgres://USER@HOST/DATABASE` },
  );
}
