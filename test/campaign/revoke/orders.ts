import type { Outcome } from "./history.ts";

/** What the campaign and its child processes say to each other by IPC. */

/** Given to a verifier at its start, as JSON in argv. */
export interface VerifierSettings {
  readonly verifier: number;
  /** Where the server is: by the verifier's own link. */
  readonly url: string;
  /** File to append records to. */
  readonly records: string;
  /** `process.hrtime.bigint()` when the campaign began, in decimal. */
  readonly epoch: string;
  /** Authentications per second. */
  readonly rate: number;
  readonly seed: number;
  /** To see the campaign red: acceptances are kept for 2 s, whatever happens. */
  readonly brokenCache: boolean;
}

export interface TokenLine {
  /** Place in `History.credentials`. */
  readonly credential: number;
  readonly token: string;
  readonly slug: string;
}

export type VerifierOrder =
  /** Tokens to use from now on. */
  | { readonly order: "tokens"; readonly tokens: readonly TokenLine[] }
  /** Something is about to be done to these: use them more than others. */
  | { readonly order: "hot"; readonly credentials: readonly number[] }
  /** Begin, or go on; or start no more. */
  | { readonly order: "run" | "rest" }
  /** Use each token once and tell what came of it. */
  | { readonly order: "probe" };

export type VerifierReport =
  | { readonly report: "ready" }
  /** Outcome by credential. */
  | { readonly report: "probed"; readonly outcomes: readonly (readonly [number, Outcome])[] };

/** Given to the process that carries the links, as JSON in argv. */
export interface LinkSettings {
  /** The server's unix socket. */
  readonly socket: string;
  readonly links: number;
}

export type LinkOrder =
  /** Resets every connection, and refuses new ones until `mend`. */
  | { readonly order: "cut"; readonly link: number }
  /** Passes nothing on in either direction, without a word to either side. */
  | { readonly order: "stall"; readonly link: number }
  /** As before a cut or stall; what was held is passed on. */
  | { readonly order: "mend"; readonly link: number };

export interface LinkReport {
  readonly report: "listening";
  /** TCP ports on 127.0.0.1, one per link. */
  readonly ports: readonly number[];
}
