/** A word as a POSIX shell takes it for one, whatever is in it: by single quotes, where it needs any. */
export function shellWord(text: string): string {
  return /^[\w.:@/+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
