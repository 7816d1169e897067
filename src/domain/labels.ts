import { MidctlError } from "./errors.ts";
import { parseLabelValue } from "./names.ts";
import { quote } from "./visible.ts";

/** At most so many labels on one identity. */
export const MAX_LABELS = 64;

const KEY_PATTERN = /^[a-z0-9](?:[a-z0-9._/-]{0,61}[a-z0-9])?$/;

export interface Label {
  readonly key: string;
  /** May be empty. */
  readonly value: string;
}

/** One label, split at the first `=`. Throws `usage`. */
export function parseLabel(text: string): Label {
  const at = text.indexOf("=");
  if (at === -1) {
    throw new MidctlError("usage", `The label ${quote(text)} has no "=".`, {
      hint: "Write key=value, such as team=payments.",
    });
  }
  return { key: parseLabelKey(text.slice(0, at)), value: parseLabelValue(text.slice(at + 1)) };
}

/** A label's key: `^[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?$`. Throws `usage`. */
export function parseLabelKey(text: string): string {
  if (KEY_PATTERN.test(text)) return text;
  throw new MidctlError("usage", `${quote(text)} is not a label key.`, {
    hint: "Use 1 to 63 small letters, digits and inner . _ / -, such as team or app.example/tier.",
  });
}

/** Several labels as one object with sorted keys. A key given twice with different values is refused. */
export function parseLabels(texts: readonly string[]): Record<string, string> {
  return collectLabels(texts.map(parseLabel));
}

/** The same limits for labels that come as an object (an import line, a host's own call). Throws `usage`. */
export function checkLabels(labels: Readonly<Record<string, string>>): Record<string, string> {
  return collectLabels(
    Object.entries(labels).map(([key, value]) => ({
      key: parseLabelKey(key),
      value: parseLabelValue(value),
    })),
  );
}

function collectLabels(labels: readonly Label[]): Record<string, string> {
  const byKey = new Map<string, string>();
  for (const { key, value } of labels) {
    const before = byKey.get(key);
    if (before !== undefined && before !== value) {
      throw new MidctlError("usage", `The label ${quote(key)} is given twice, with different values.`, {
        hint: "Give each key once.",
      });
    }
    byKey.set(key, value);
  }
  if (byKey.size > MAX_LABELS) {
    throw new MidctlError("usage", `${byKey.size} labels are too many for one identity.`, {
      hint: `At most ${MAX_LABELS}.`,
    });
  }
  return Object.fromEntries([...byKey].sort(([a], [b]) => (a < b ? -1 : 1)));
}
