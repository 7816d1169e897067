import * as z from "zod/mini";
import { parseDuration } from "../../domain/duration.ts";
import { MidctlError } from "../../domain/errors.ts";
import { type Authenticator, createAuthenticator } from "../../operations/authenticate.ts";
import { requireEnvironment } from "../../operations/lookup.ts";
import { formatAddress, isLocal, parseAddress } from "../../server/address.ts";
import { PATHS } from "../../server/target.ts";
import { CHECKPOINT_OPTIONS, keepCheckpoints, openCheckpointPlace } from "../checkpointing.ts";
import { headFileOption, openHeadFile } from "../head.ts";
import { endInOrder, type Signal } from "../interruption.ts";
import { readWith } from "../parse.ts";
import { errorAsText, errorAsTrace } from "../report.ts";
import { followTrustRoot } from "../trust.ts";
import { defineVerb } from "../verb.ts";
import { midctlVersion } from "../version.ts";
import { viewServe } from "../views/serve.ts";
import { wrapMessage } from "../wrap.ts";

export const serveOutput = z.object({
  listening: z.string(),
  port: z.nullable(z.number()),
  paths: z.readonly(z.array(z.string())),
});
export type ServeDocument = z.infer<typeof serveOutput>;

/** Look-ups share connections, activations and notes take one each; a network that swallows packets is noticed in ms. */
const POOL = { max: 8, patience: 10_000 };

export const serve = defineVerb({
  path: ["serve"],
  summary: "Answer resource servers and proxies by HTTP: /auth, /introspect, /mcp",
  description:
    "Runs until SIGTERM or SIGINT, then ends in order and exits 0; so it does on SIGHUP, but exits 129. Speaks plain HTTP: put TLS in front of it. The access log goes to stderr. docs/verify.md shows nginx, Traefik and Caddy. With --trust-dir (or MIDCTL_TRUST_DIR) no token is accepted that no signed plan in force names; with --head-file (or MIDCTL_HEAD_FILE) none while the database is behind what was seen of it.",
  examples: [
    { command: "midctl serve", does: "at http://127.0.0.1:8484" },
    { command: "midctl serve --trust-dir /etc/midctl/trust", does: "accepts only what owners have signed" },
    {
      command:
        "midctl serve --checkpoint-out /mnt/elsewhere/checkpoints --checkpoint-signer /etc/midctl/log_ed25519",
      does: "and signs the log's head once a minute",
    },
    {
      command: "midctl serve --head-file /var/lib/midctl-serve/head",
      does: "accepts nothing from a database that was restored from before",
    },
    { command: "midctl serve --listen unix:/run/midctl/serve.sock", does: "for a proxy on this machine" },
  ],
  options: {
    listen: {
      value: "ADDRESS",
      summary: "127.0.0.1:8484, [::1]:8484 or unix:/path; port 0 is any free one",
      default: "127.0.0.1:8484",
      schema: readWith(parseAddress),
    },
    ...CHECKPOINT_OPTIONS,
    checkpointEvery: {
      value: "1m",
      summary: "how often, at least 1s; default: 1m",
      default: "1m",
      schema: readWith((text) => parseDuration(text, { atLeast: 1 })),
    },
    headFile: headFileOption,
    noAccessLog: { summary: "write no line for each request" },
  },
  output: serveOutput,
  async run({ listen, headFile, noAccessLog, checkpointEvery, ...input }, context) {
    if (context.dryRun) {
      throw new MidctlError(
        "usage",
        "serve cannot be rehearsed: a first use changes what it is asked about; nothing is served",
        {
          hint: "leave --dry-run out; midctl doctor looks at the database",
        },
      );
    }
    // Before anything listens: with a directory that is not understood it would refuse everybody.
    const trust = followTrustRoot(context);
    const place = await openCheckpointPlace(context, input);
    const { startServer } = await import("../../server/serve.ts");
    const db = await context.database({ pool: POOL });
    if (trust === null) {
      const { name, protected: isProtected } = await requireEnvironment(db);
      if (isProtected) {
        context.notice(
          `${name} is protected, and approvals are not checked here: whoever can write to the database can make a token that is accepted. --trust-dir DIR has them checked.`,
        );
      }
    }
    const report = (error: unknown): void => {
      if (context.flags.debug) context.terminal.writeMessage(errorAsTrace(error));
      context.terminal.writeMessage(wrapMessage(errorAsText(error), context.terminal));
    };
    const checkpoints =
      place === null
        ? null
        : await keepCheckpoints(db, place, checkpointEvery * 1_000, report, context.notice);
    const { promise: stopped, resolve: stop } = promiseWithResolvers<Signal>();
    const head = openHeadFile(headFile, context);
    const authenticator = createAuthenticator({
      db,
      warn: context.notice,
      ...(trust === null ? {} : { trust }),
      ...(head === null ? {} : { head }),
    });
    await refuseUselessHead(authenticator);
    const running = await startServer({
      address: listen,
      db,
      authenticator,
      version: midctlVersion,
      log: noAccessLog ? null : (lines) => context.terminal.writeMessage(lines),
      report,
      ...(checkpoints === null ? {} : { checkpoints: () => checkpoints.state }),
      now: () => context.now(),
    });
    endInOrder(stop);
    if (!isLocal(running.address)) {
      context.notice(
        "Tokens travel in the clear to this address: let nothing but a proxy with TLS reach it.",
      );
    }
    return {
      begun: {
        listening: formatAddress(running.address),
        port: running.address.kind === "tcp" ? running.address.port : null,
        paths: PATHS,
      },
      async until() {
        const signal = await stopped;
        await checkpoints?.stop();
        await running.stop();
        // Nobody asked it to end: whoever watches over it may start it again.
        if (signal === "SIGHUP") {
          throw new MidctlError("interrupted", "the terminal closed; the server ended in order", {
            details: { signal },
          });
        }
      },
    };
  },
  view: viewServe,
});

/**
 * A file that cannot keep the log's head, or keeps another's, is refused at the start; a database that is behind it is waited
 * for, as one that does not answer.
 */
async function refuseUselessHead(authenticator: Authenticator): Promise<void> {
  try {
    await authenticator.check();
  } catch (error) {
    if (error instanceof MidctlError && error.code === "unavailable") return;
    await authenticator.close();
    throw error;
  }
}

function promiseWithResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve = (_: T): void => {};
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
