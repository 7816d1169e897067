/** What a view is made of. A view says what is shown; `output.ts` alone decides how. */

/** A value to show. Times are RFC 3339 and become relative on a terminal. */
export type Cell = string | number | boolean | null | TimeCell | ToneCell;

export interface TimeCell {
  readonly time: string;
  /** What stands before it. */
  readonly before?: string;
  /** What follows it. */
  readonly after?: string;
}

export type Tone = "good" | "warn" | "bad" | "faint" | "strong";

export interface ToneCell {
  readonly text: string;
  readonly tone: Tone;
}

export interface Column {
  readonly title: string;
  /** Never shortened on a narrow terminal: what people copy (slugs, public ids). */
  readonly fixed?: boolean;
  /** A sentence: on a narrow terminal it goes on in the next line instead of being cut. */
  readonly words?: boolean;
  /** Left out of a table in which no row has any. */
  readonly ifAny?: boolean;
  /** Shown in a table alone, or in tab-separated text alone. */
  readonly only?: "table" | "plain";
  /** Left out on a terminal too narrow for it; the later columns go first. */
  readonly optional?: boolean;
  readonly align?: "right";
}

export type Block =
  | {
      readonly kind: "table";
      readonly columns: readonly Column[];
      readonly rows: readonly (readonly Cell[])[];
      /** Said on stderr when there are no rows. */
      readonly empty?: string;
    }
  | {
      readonly kind: "fields";
      readonly title?: string;
      readonly fields: readonly (readonly [string, Cell])[];
    }
  | {
      readonly kind: "line";
      readonly cells: readonly Cell[];
      /** A sentence: on a terminal it goes on in the next line between words. */
      readonly words?: boolean;
      /** What tab-separated text has in its place; unless told the line as it is. */
      readonly plain?: readonly Cell[];
    }
  /** Text of our own making, several lines, printed as it is: help, scripts. Never stored text. */
  | { readonly kind: "text"; readonly text: string }
  /** Blocks in a table for people, and elsewhere a text as `text` has it: a file's content, in which nothing is hidden. */
  | { readonly kind: "either"; readonly people: View; readonly programs: string }
  /** Goes to stderr: what to do next, where more is. */
  | { readonly kind: "notice"; readonly text: string };

export type View = readonly Block[];

export function time(value: string | null): Cell {
  return value === null ? null : { time: value };
}

const statusTones: Readonly<Record<string, Tone>> = {
  active: "good",
  grace: "warn",
  pending: "warn",
  paused: "warn",
  identity_paused: "warn",
  superseded: "faint",
  expired: "faint",
  abandoned: "faint",
  refused: "bad",
  revoked: "bad",
  identity_revoked: "bad",
};

/** A status in its colour. */
export function status(value: string): Cell {
  const tone = statusTones[value];
  return tone === undefined ? value : { text: value, tone };
}
