import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { LinkOrder, LinkReport, LinkSettings } from "./orders.ts";

/** The cables between verifiers and server, carried by a process of their own. */
export class Links {
  readonly ports: readonly number[];
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, ports: readonly number[]) {
    this.#child = child;
    this.ports = ports;
  }

  /** @param program the bundled `link.ts` */
  static async open(program: string, settings: LinkSettings): Promise<Links> {
    const child = fork(program, [JSON.stringify(settings)], { execArgv: [] });
    const [report] = (await once(child, "message")) as [LinkReport];
    return new Links(child, report.ports);
  }

  tell(order: LinkOrder): void {
    this.#child.send(order, () => undefined);
  }

  close(): void {
    this.#child.kill("SIGKILL");
  }
}
