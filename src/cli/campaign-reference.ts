import { MidctlError } from "../domain/errors.ts";
import { quote } from "../domain/visible.ts";
import { readWith } from "./parse.ts";

export const campaignArgument = {
  name: "ref",
  summary: "the campaign, rb_…",
  schema: readWith((text) => {
    if (/^rb_[0-9A-Za-z]{12}$/.test(text)) return text;
    throw new MidctlError("usage", `${quote(text)} is no campaign`, {
      hint: "midctl runbook status lists them",
    });
  }),
} as const;
