/**
 * The last line of defence: no error and no trace passes out of here with a secret in it, whatever code above
 * forgot. The first line is that messages are never built from secrets at all.
 */

const token = /mid_(live|test)_([0-9A-Za-z]{1,12})_[0-9A-Za-z]+/g;
/** What a plan is approved by is public, and named as such; any other number of that length may be what a token is kept as. */
const longHex = /(?<![0-9A-Fa-f]|"digest":"|sha256:)[0-9A-Fa-f]{64}(?![0-9A-Fa-f])/g;
const urlPassword = /([a-z][a-z0-9+.-]*:\/\/[^\s/?#:@]*):[^\s/?#]*@/gi;
const queryPassword = /([?&](?:password|sslpassword|pgpassword)=)[^&\s]*/gi;

/** `text` without token secrets, SHA-256 hashes in hex, and passwords in URLs. */
export function redact(text: string): string {
  return redactUrl(text.replace(token, "mid_$1_$2_[secret]").replace(longHex, "[hash]"));
}

/** `text` with the password of every URL in it replaced by `***`. */
export function redactUrl(text: string): string {
  return text.replace(urlPassword, "$1:***@").replace(queryPassword, "$1***");
}

/** Whether a database URL carries a password, in its authority or in its query. */
export function hasPassword(url: string): boolean {
  return redactUrl(url) !== url;
}

/** Whether a word of argv is, or holds, one of our tokens. */
export function holdsToken(word: string): boolean {
  return word.search(token) >= 0;
}
