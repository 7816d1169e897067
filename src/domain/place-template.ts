/** Where the secret of each target of a campaign goes: a path in which `{…}` stands for something of the target. */
import { MidctlError } from "./errors.ts";
import { quote } from "./visible.ts";

/** What a template can say of a target. */
export interface PlaceValues {
  readonly slug: string;
  /** Of the credential. */
  readonly name: string;
  /** null for a service. */
  readonly provider: string | null;
  readonly threadId: string | null;
  readonly labels: Readonly<Record<string, string>>;
}

export interface PlaceTemplate {
  /** The directory that no secret leaves: all that stands before the first name with a placeholder. */
  readonly root: string;
  /** Names below it, the last one the file's. */
  readonly names: readonly string[];
}

/** The file of each where a template names none. */
const FILE = "{slug}.token";
const PLACEHOLDER = /\{([^{}]*)\}/g;
const KNOWN = /^(?:slug|name|provider|thread|label\.[^{}]+)$/;
/** Bytes of a name on any file system that matters. */
const LONGEST_NAME = 255;
/** Of a file's name so many fewer: beside it the new secret is written, under its name and the campaign's (`.rb_…`). */
const BESIDE = 16;

/**
 * Reads a template. One without placeholders is a directory, in which each file is `<slug>.token`.
 * @throws MidctlError `usage` for a placeholder that there is not, and for names that leave the directory
 */
export function parsePlaceTemplate(text: string): PlaceTemplate {
  // A label's key may have slashes of its own.
  const parts = text.split(/\/(?![^{}]*\})/);
  const first = parts.findIndex((part) => /[{}]/.test(part));
  const root = (first === -1 ? parts : parts.slice(0, first)).join("/");
  const names = first === -1 ? [FILE] : parts.slice(first).filter((part) => part !== "" && part !== ".");
  for (const name of names) {
    const known = name.replace(PLACEHOLDER, (whole, inner: string) => (KNOWN.test(inner) ? "" : whole));
    if (/[{}]/.test(known)) {
      throw new MidctlError(
        "usage",
        `${quote(text)} has a placeholder that there is not; nothing was changed.`,
        {
          hint: "There are {slug}, {name}, {provider}, {thread} and {label.KEY}.",
        },
      );
    }
    if (name === "..") throw leaves(text);
  }
  if (text === "" || text.includes("\0") || (first !== -1 && text.endsWith("/"))) {
    throw new MidctlError("usage", `${quote(text)} is not the path of files; nothing was changed.`, {
      hint: "Give a directory, or a path such as ./agents/{slug}/token.",
    });
  }
  return { root: root === "" ? (text.startsWith("/") ? "/" : ".") : root, names };
}

/**
 * The path for one target.
 * @throws MidctlError `usage` for a target that lacks what the template asks for, and where a value would leave the directory
 */
export function expandPlace({ root, names }: PlaceTemplate, values: PlaceValues): string {
  const expanded = names.map((name) =>
    name.replace(PLACEHOLDER, (_, inner: string) => {
      const value = read(inner, values);
      if (value !== null && value !== "") return value;
      throw new MidctlError(
        "usage",
        `${values.slug} has no ${inner}, which the template asks for; nothing was changed.`,
        {
          hint: "Leave it out of the template, or select only those that have it.",
        },
      );
    }),
  );
  for (const [at, name] of expanded.entries()) {
    if (name === "." || name === ".." || /[/\u0000-\u001f\u007f]/.test(name)) throw leaves(name, values.slug);
    const longest = at === expanded.length - 1 ? LONGEST_NAME - BESIDE : LONGEST_NAME;
    if (Buffer.byteLength(name) > longest) {
      throw new MidctlError(
        "usage",
        `The file of ${values.slug} would have too long a name; nothing was changed.`,
      );
    }
  }
  return [root.replace(/\/+$/, ""), ...expanded].join("/");
}

function read(placeholder: string, { slug, name, provider, threadId, labels }: PlaceValues): string | null {
  switch (placeholder) {
    case "slug":
      return slug;
    case "name":
      return name;
    case "provider":
      return provider;
    case "thread":
      return threadId;
    default: {
      const key = placeholder.slice("label.".length);
      return Object.hasOwn(labels, key) ? (labels[key] ?? null) : null;
    }
  }
}

function leaves(name: string, slug?: string): MidctlError {
  const whose = slug === undefined ? "" : ` for ${slug}`;
  return new MidctlError(
    "usage",
    `${quote(name)} is no name of a file in the directory${whose}; nothing was changed.`,
    {
      hint: "No secret leaves the directory that stands before the first placeholder.",
    },
  );
}
