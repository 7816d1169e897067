import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import type { Authentication, Outcome } from "./history.ts";
import type { TokenLine, VerifierOrder, VerifierReport, VerifierSettings } from "./orders.ts";
import { countRecords, readRecords } from "./records.ts";

/** How long a verifier may take to start, or to answer a probe, in ms. */
const PATIENCE = 60_000;

interface Member {
  readonly child: ChildProcess;
  readonly ready: Promise<void>;
  /** It was told the tokens so far, and hears of new ones. */
  told: boolean;
  /** We killed it: its end is no news. */
  killed: boolean;
}

export type Probed = readonly (readonly [credential: number, outcome: Outcome])[];

/** The verifier processes: each has a seat with a link of its own, and whoever is killed is replaced in its seat. */
export class Team {
  readonly #program: string;
  readonly #directory: string;
  readonly #settings: (seat: number) => Omit<VerifierSettings, "verifier" | "records">;
  readonly #members: Member[] = [];
  readonly #files: { readonly seat: number; readonly path: string }[] = [];
  readonly #tokens: TokenLine[] = [];
  readonly #onCrash: (what: string) => void;
  #running = false;

  /**
   * @param program the bundled `verifier.ts`
   * @param directory where records go
   */
  constructor(
    program: string,
    directory: string,
    settings: (seat: number) => Omit<VerifierSettings, "verifier" | "records">,
    onCrash: (what: string) => void,
  ) {
    this.#program = program;
    this.#directory = directory;
    this.#settings = settings;
    this.#onCrash = onCrash;
  }

  get seats(): number {
    return this.#members.length;
  }

  async start(seats: number): Promise<void> {
    for (let seat = 0; seat < seats; seat++) this.#seat(seat);
    await Promise.all(this.#members.map(({ ready }) => ready));
  }

  /** Makes tokens known to all, now and later. */
  admit(tokens: readonly TokenLine[]): void {
    this.#tokens.push(...tokens);
    this.#broadcast({ order: "tokens", tokens });
  }

  heat(credentials: readonly number[]): void {
    this.#broadcast({ order: "hot", credentials });
  }

  run(): void {
    this.#running = true;
    this.#broadcast({ order: "run" });
  }

  rest(): void {
    this.#running = false;
    this.#broadcast({ order: "rest" });
  }

  /** SIGKILL, and another takes its seat. */
  kill(seat: number): void {
    const member = this.#members[seat];
    if (member === undefined) return;
    member.killed = true;
    member.child.kill("SIGKILL");
    this.#seat(seat);
  }

  stop(seat: number): void {
    this.#members[seat]?.child.kill("SIGSTOP");
  }

  wake(seat: number): void {
    this.#members[seat]?.child.kill("SIGCONT");
  }

  /** Has each verifier use each token once. */
  async probe(): Promise<Probed[]> {
    return Promise.all(
      this.#members.map(async ({ child, ready }, seat) => {
        await ready;
        send(child, { order: "probe" });
        const report = await hear(child, "probed", `verifier ${seat} does not answer a probe`);
        return report.report === "probed" ? report.outcomes : [];
      }),
    );
  }

  /** How many authentications have been recorded. */
  count(): number {
    return this.#files.reduce((sum, { path }) => sum + countRecords(path), 0);
  }

  *read(): Generator<Authentication> {
    for (const { seat, path } of this.#files) yield* readRecords(path, seat);
  }

  /** Ends every process; what it has recorded by now counts. */
  leave(): void {
    for (const member of this.#members) {
      member.killed = true;
      member.child.kill("SIGKILL");
    }
  }

  #seat(seat: number): void {
    const path = join(this.#directory, `verifier-${seat}-${this.#files.length}.records`);
    const settings: VerifierSettings = { ...this.#settings(seat), verifier: seat, records: path };
    const child = fork(this.#program, [JSON.stringify(settings)], { execArgv: [] });
    const member: Member = {
      child,
      told: false,
      killed: false,
      ready: hear(child, "ready", `verifier ${seat} does not start`).then(() => {
        send(child, { order: "tokens", tokens: this.#tokens });
        send(child, { order: this.#running ? "run" : "rest" });
        member.told = true;
      }),
    };
    member.ready.catch((error: unknown) => !member.killed && this.#onCrash(String(error)));
    child.on("exit", (code, signal) => {
      if (!member.killed) this.#onCrash(`verifier ${seat} ended by itself: ${signal ?? `exit ${code}`}`);
    });
    this.#files.push({ seat, path });
    this.#members[seat] = member;
  }

  #broadcast(order: VerifierOrder): void {
    for (const { child, told } of this.#members) if (told) send(child, order);
  }
}

function send(child: ChildProcess, order: VerifierOrder): void {
  // Whoever was killed meanwhile is told nothing any more.
  if (child.connected) child.send(order, () => undefined);
}

/** The next report of a kind. Rejects where none comes in time, or the process ends. */
function hear(
  child: ChildProcess,
  kind: VerifierReport["report"],
  complaint: string,
): Promise<VerifierReport> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void): void => {
      clearTimeout(timer);
      child.off("message", onMessage).off("exit", onExit);
      finish();
    };
    const onMessage = (report: VerifierReport): void => {
      if (report.report === kind) settle(() => resolve(report));
    };
    const onExit = (): void => settle(() => reject(new Error(complaint)));
    const timer = setTimeout(onExit, PATIENCE);
    child.on("message", onMessage).on("exit", onExit);
  });
}
