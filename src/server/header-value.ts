/** Visible ASCII without `%`, with spaces inside at most: goes into a header as it is. */
const PLAIN = /^[!-$&-~](?:[ -$&-~]*[!-$&-~])?$/;

/** Any text as a header's value, to be read by `decodeURIComponent`: what is not plain is percent-encoded UTF-8. */
export function encodeHeader(text: string): string {
  return PLAIN.test(text) ? text : encodeURIComponent(text);
}
