import { MidctlError } from "../domain/errors.ts";
import { quote } from "../domain/visible.ts";
import { readWith } from "./parse.ts";

/** A value for `${NAME}`. */
export interface Setting {
  readonly name: string;
  readonly value: string;
}

export const setOption = {
  value: "NAME=VALUE",
  summary: "what ${NAME} stands for in the runbook; may be given several times",
  repeat: true,
  schema: readWith((text): Setting => {
    const at = text.indexOf("=");
    if (at > 0) return { name: text.slice(0, at), value: text.slice(at + 1) };
    throw new MidctlError("usage", `${quote(text)} has no "="`, { hint: "--set owner=alice@example.com" });
  }),
} as const;
