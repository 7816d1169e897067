import { isScope } from "../domain/scope.ts";

/** Visible ASCII without `%`, with spaces inside at most: goes into a header as it is. */
const PLAIN = /^[!-$&-~](?:[ -$&-~]*[!-$&-~])?$/;

/** Any text as a header's value, to be read by `decodeURIComponent`: what is not plain is percent-encoded UTF-8. */
export function encodeHeader(text: string): string {
  return PLAIN.test(text) ? text : encodeURIComponent(text);
}

/** As much as 64 scopes of 128 characters need. Proxies and servers have limits of their own to a header. */
const LIST_MAX = 64 * 129;

/** As `joinScopes`, as far as a header's value goes: of a host's token with a thousand scopes, the first. */
export function encodeScopes(scopes: readonly string[]): string {
  const list = joinScopes(scopes);
  return list.length <= LIST_MAX ? list : list.slice(0, list.lastIndexOf(" ", LIST_MAX));
}

/**
 * Scopes as one word list (RFC 6749 §3.3). What a host wrote into a legacy token and is no scope is left out: with a space in
 * it, one would be read as two.
 */
export function joinScopes(scopes: readonly string[]): string {
  return scopes.filter(isScope).join(" ");
}
