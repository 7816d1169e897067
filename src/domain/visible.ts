import { containsSecret } from "./token.ts";

/**
 * Control, format, line and paragraph separators, lone surrogates, private use, unassigned: what a terminal may
 * obey or hide. Stripping escape sequences instead left 8 of 13 hostile payloads dangerous.
 */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu;
const QUOTED_CHARACTERS = 80;

/** Makes stored or typed text safe to show to a person: `ESC` becomes `\u{1B}`. All else stays as it is. */
export function visible(text: string): string {
  return text.replace(INVISIBLE, (character) => {
    const hex = (character.codePointAt(0) as number).toString(16).toUpperCase();
    return `\\u{${hex.padStart(2, "0")}}`;
  });
}

/** The same for JSON, which stays JSON of the same meaning: what a terminal might obey travels as `\uXXXX`. */
export function visibleJson(json: string): string {
  return json.replace(INVISIBLE, (character) => {
    if (character === "\n") return character;
    return [...Array(character.length).keys()]
      .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`)
      .join("");
  });
}

/** Whether `visible` would change the text. */
export function hasInvisible(text: string): boolean {
  return text.search(INVISIBLE) !== -1;
}

/** Text a user typed, for an error message: visible, quoted, cut after 80 characters, a token in it not shown. */
export function quote(text: string): string {
  if (containsSecret(text)) return "(not shown, it holds a token)";
  const characters = [...text];
  const cut = characters.length > QUOTED_CHARACTERS;
  return `"${visible(cut ? characters.slice(0, QUOTED_CHARACTERS).join("") : text)}${cut ? "…" : ""}"`;
}
