/** What may stand next. */
type Wanted = "value" | "value or ]" | "key" | "key or }" | ":" | ", or }" | ", or ]" | "end";

const LITERAL = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])/y;
const COLON = /[ \t\n\r]*:/y;
const ESCAPE = /["\\/bfnrt]|u[0-9a-fA-F]{4}/y;

/**
 * Where a text stops being JSON (RFC 8259): the index of the first character that cannot stand there, its length where it
 * ends too soon; null for JSON. The engine's own message names no place on some releases, and quotes the text, which may
 * hold anything. Walks without recursion: a line of a million brackets is a line like others.
 */
export function findJsonError(text: string): number | null {
  const open: ("{" | "[")[] = [];
  let wanted: Wanted = "value";
  for (let at = 0; ; ) {
    while (" \t\n\r".includes(text[at] ?? "x")) at++;
    const char = text[at];
    if (char === undefined) return wanted === "end" ? null : at;
    const after: Wanted = open.length === 0 ? "end" : open.at(-1) === "{" ? ", or }" : ", or ]";
    if ((char === "}" && /}$/.test(wanted)) || (char === "]" && /]$/.test(wanted))) {
      open.pop();
      wanted = open.length === 0 ? "end" : open.at(-1) === "{" ? ", or }" : ", or ]";
      at++;
    } else if (wanted.startsWith("key") && char === '"') {
      const end = endOfString(text, at);
      if (!end.whole) return end.at;
      wanted = ":";
      at = end.at;
    } else if (wanted === ":" && char === ":") {
      wanted = "value";
      at++;
    } else if (wanted.startsWith(",") && char === ",") {
      wanted = open.at(-1) === "{" ? "key" : "value";
      at++;
    } else if (!wanted.startsWith("value")) {
      return at;
    } else if (char === "{" || char === "[") {
      open.push(char);
      wanted = char === "{" ? "key or }" : "value or ]";
      at++;
    } else if (char === '"') {
      const end = endOfString(text, at);
      if (!end.whole) return end.at;
      wanted = after;
      at = end.at;
    } else {
      LITERAL.lastIndex = at;
      if (!LITERAL.test(text)) return at;
      at = LITERAL.lastIndex;
      wanted = after;
    }
  }
}

/** Behind the closing quote, or where the string goes wrong. */
function endOfString(text: string, quote: number): { readonly whole: boolean; readonly at: number } {
  for (let at = quote + 1; at < text.length; ) {
    const char = text[at] as string;
    if (char === '"') return { whole: true, at: at + 1 };
    if (char < " ") return { whole: false, at };
    if (char !== "\\") at++;
    else {
      ESCAPE.lastIndex = at + 1;
      if (!ESCAPE.test(text)) return { whole: false, at };
      at = ESCAPE.lastIndex;
    }
  }
  return { whole: false, at: text.length };
}

/**
 * The first key that an object of this JSON text has twice, by whatever spelling; null where there is none. Readers do not
 * agree on which of the two counts. Walks without recursion, as above.
 * @param json what `findJsonError` has nothing against
 */
export function findDuplicateKey(json: string): string | null {
  const open: (Set<string> | null)[] = [];
  for (let at = 0; at < json.length; at++) {
    const char = json[at];
    if (char === "{") open.push(new Set());
    else if (char === "[") open.push(null);
    else if (char === "}" || char === "]") open.pop();
    else if (char === '"') {
      const end = endOfString(json, at).at;
      COLON.lastIndex = end;
      if (COLON.test(json)) {
        const key = JSON.parse(json.slice(at, end)) as string;
        if (open.at(-1)?.has(key)) return key;
        open.at(-1)?.add(key);
      }
      at = end - 1;
    }
  }
  return null;
}
