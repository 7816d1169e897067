/** The highest head of a log that a verifier has seen, as it keeps it: a C2SP checkpoint, which need not be signed. */
import { checkpointText, parseCheckpointText, parseLastCheckpoint } from "./checkpoint.ts";

export interface KeptHead {
  /** Which log. */
  readonly origin: string;
  readonly size: number;
  /** Of the RFC 9162 tree over that many entries. */
  readonly root: Buffer;
  /** How often somebody accepted a head in the place of one that it does not go on from: an extension line of the checkpoint. */
  readonly accepted: number;
}

const ACCEPTED = /^midctl-accepted ([1-9]\d{0,8})$/;

/**
 * Takes a kept head apart: the text of a checkpoint, or the last of a file of signed ones. Signatures are not verified: whoever
 * may write where it is kept is believed. Null for anything else. Never throws.
 */
export function parseKeptHead(text: string): KeptHead | null {
  // As an editor leaves it that ends a file with an empty line.
  return parseHead(text.replace(/\n+$/, "\n"));
}

function parseHead(text: string): KeptHead | null {
  const signed = parseLastCheckpoint(text);
  if (signed !== null) return { ...headOf(signed), accepted: timesOf(signed.extensions[0]) ?? 0 };
  const bare = parseCheckpointText(text);
  if (bare === null) return null;
  const [extension, ...more] = bare.extensions;
  if (extension === undefined) return { ...headOf(bare), accepted: 0 };
  // What has other lines was not written by us, or is more than one.
  const accepted = timesOf(extension);
  return accepted === null || more.length > 0 ? null : { ...headOf(bare), accepted };
}

/** The text that `parseKeptHead` reads: a checkpoint's, not signed. */
export function writeKeptHead(head: KeptHead): string {
  const text = checkpointText(head);
  return head.accepted === 0 ? text : `${text}midctl-accepted ${head.accepted}\n`;
}

/** Whether `head` takes the place of `other`: it was accepted later, or its log has grown. Of two logs neither does. */
export function supersedes(head: KeptHead, other: KeptHead): boolean {
  if (head.origin !== other.origin) return false;
  return head.accepted === other.accepted ? head.size > other.size : head.accepted > other.accepted;
}

function headOf({ origin, size, root }: Omit<KeptHead, "accepted">): Omit<KeptHead, "accepted"> {
  return { origin, size, root };
}

function timesOf(extension: string | undefined): number | null {
  const times = ACCEPTED.exec(extension ?? "")?.[1];
  return times === undefined ? null : Number(times);
}
