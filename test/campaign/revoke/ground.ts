import { spawn } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Database, openPostgres } from "../../../src/index.ts";
import { DURABLE, findTestBinaries, type Launched, launch, makeScratch } from "../../support/launcher.ts";
import { createClock, type Instant } from "./history.ts";

const DATABASE = "campaign";

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** When it had exited. */
  readonly end: Instant;
}

/** Where the campaign takes place: a PostgreSQL of its own with everything synced, a directory for records, a clock. */
export class Ground {
  readonly epoch: bigint = process.hrtime.bigint();
  readonly now: () => Instant = createClock(this.epoch);
  readonly directory: string;
  readonly socket: string;
  /** For the operators, who are next to the server: nobody cuts them off. */
  readonly db: Database;
  readonly #program: string;
  readonly #launched: Launched;
  readonly #env: Readonly<Record<string, string>>;

  private constructor(program: string, directory: string, launched: Launched) {
    const { socketDir, port, user } = launched.server;
    this.#program = program;
    this.#launched = launched;
    this.directory = directory;
    this.socket = join(socketDir, `.s.PGSQL.${port}`);
    this.db = openPostgres({ socketDir, port, user, database: DATABASE }, { applicationName: "campaign" });
    const home = join(directory, "home");
    mkdirSync(home, { mode: 0o700 });
    this.#env = {
      PATH: process.env.PATH ?? "",
      HOME: home,
      XDG_CACHE_HOME: join(home, "cache"),
      MIDCTL_DATABASE_URL: `postgres://${user}@/${DATABASE}?host=${encodeURIComponent(socketDir)}&port=${port}`,
    };
  }

  /** @param program the launcher, built */
  static async open(program: string): Promise<Ground> {
    const directory = makeScratch();
    const [candidate] = findTestBinaries();
    if (candidate === undefined) throw new Error("there is no PostgreSQL");
    const launched = await launch(candidate, directory, DURABLE);
    const { socketDir, port, user } = launched.server;
    const lobby = openPostgres({ socketDir, port, user, database: "postgres" });
    await lobby.query(`CREATE DATABASE ${DATABASE} TEMPLATE template0`).finally(() => lobby.close());
    const ground = new Ground(program, directory, launched);
    await ground.expect(["db", "init", "--environment", "campaign", "--json"]);
    return ground;
  }

  /** The server as it is reached by a link. */
  urlAt(port: number): string {
    return `postgres://${this.#launched.server.user}@127.0.0.1:${port}/${DATABASE}`;
  }

  /** Runs midctl as a process of its own. */
  run(args: readonly string[]): Promise<CommandResult> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [this.#program, ...args], {
        env: this.#env,
        stdio: ["ignore", "pipe", "pipe"],
      });
      const stdout: Buffer[] = [];
      const stderr: Buffer[] = [];
      let end = 0;
      child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
      child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
      child.on("error", reject);
      child.on("exit", () => {
        end = this.now();
      });
      child.on("close", (code) => {
        const texts = [stdout, stderr].map((chunks) => Buffer.concat(chunks).toString("utf8"));
        resolve({ code, stdout: texts[0] ?? "", stderr: texts[1] ?? "", end });
      });
    });
  }

  /** Runs midctl, which has to succeed, and returns its JSON. */
  async expect(args: readonly string[]): Promise<Record<string, unknown>> {
    const { code, stdout, stderr } = await this.run(args);
    if (code !== 0) throw new Error(`midctl ${args.join(" ")} exited ${code}: ${stderr}`);
    return JSON.parse(stdout) as Record<string, unknown>;
  }

  async close(keep: boolean): Promise<void> {
    await this.db.close();
    await this.#launched.stop();
    if (!keep) rmSync(this.directory, { recursive: true, force: true });
  }
}
