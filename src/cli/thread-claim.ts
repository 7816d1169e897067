/** `CODEX_THREAD_ID`: which thread an agent's environment says that it is. A claim, never taken by itself. */
import { MidctlError } from "../domain/errors.ts";
import { parseThreadId } from "../domain/names.ts";
import { threadSlug } from "../domain/slug.ts";
import { quote } from "../domain/visible.ts";
import type { VerbContext } from "./context.ts";
import { slugOf } from "./options.ts";
import type { Environment } from "./settings.ts";

const PROVIDER = "codex";
const VARIABLE = "CODEX_THREAD_ID";
const HINT = `${VARIABLE} is set, and only a claim: where that thread is meant, give --thread "$${VARIABLE}" --provider ${PROVIDER}.`;

interface NamingWords {
  readonly slug: string | undefined;
  readonly thread: string | undefined;
  readonly provider: string | undefined;
}

/** The argument that is asked for where the words name no identity. */
interface NameQuestion {
  readonly name: string;
  readonly summary: string;
  /** Reads the answer; throws `usage`. */
  readonly parse: (text: string) => string;
}

/**
 * The words, with the slug of the identity that they name. What is missing is asked for on a terminal, where the thread of
 * `CODEX_THREAD_ID` is the default answer, and is a usage error elsewhere that names the variable. A `--thread` of codex that is
 * another one is taken, with a warning: an agent's process that an agent spawned inherits its parent's variable.
 */
export async function nameIdentity<Words extends NamingWords>(
  context: VerbContext,
  words: Words,
  question: NameQuestion,
): Promise<Words & { readonly slug: string }> {
  const claim = claimedThread(context.env);
  warnOfAnother(context, words);
  const threaded =
    words.provider === PROVIDER && words.thread === undefined && claim !== null
      ? { ...words, thread: await askThread(context, claim) }
      : words;
  const given = slugOf(threaded);
  if (given !== undefined) return { ...threaded, slug: given };
  const offered = claim === null ? null : slugOfClaim(claim);
  const answer = await context.ask({
    name: question.name,
    summary: question.summary,
    problem: problemOf(question.parse),
    ...(claim === null ? {} : { hint: HINT }),
    ...(offered === null ? {} : { offered }),
  });
  return claim !== null && answer === offered
    ? { ...words, slug: answer, thread: claim, provider: PROVIDER }
    : { ...words, slug: question.parse(answer) };
}

function askThread(context: VerbContext, claim: string): Promise<string> {
  if (!context.canAsk()) {
    throw new MidctlError("usage", "--provider goes with --thread; nothing was done", { hint: HINT });
  }
  return context.ask({
    name: "--thread",
    summary: `the agent's thread; ${VARIABLE} claims`,
    problem: problemOf(parseThreadId),
    offered: claim,
  });
}

/** What the variable says, where that can be a thread id at all: else it is as if it were not set. */
function claimedThread(env: Environment): string | null {
  const said = env[VARIABLE];
  if (said === undefined || said === "") return null;
  return problemOf(parseThreadId)(said) === undefined ? said : null;
}

/** Null where the thread id is no slug: then somebody must choose one. */
function slugOfClaim(claim: string): string | null {
  const slug = (): string => threadSlug(PROVIDER, claim);
  return problemOf(slug)("") === undefined ? slug() : null;
}

function warnOfAnother(context: VerbContext, { thread, provider }: NamingWords): void {
  const said = context.env[VARIABLE] ?? "";
  if (provider !== PROVIDER || thread === undefined || said === "" || said === thread) return;
  context.notice(
    `Warning: --thread is ${quote(thread)}, and ${VARIABLE} says ${quote(said)}, as a nested agent inherits it from its parent. --thread counts.`,
  );
}

/** What is wrong with a text that `parse` refuses, or undefined. */
function problemOf(parse: (text: string) => unknown): (text: string) => string | undefined {
  return (text) => {
    try {
      parse(text);
      return undefined;
    } catch (error) {
      if (error instanceof MidctlError) return error.message;
      throw error;
    }
  };
}
