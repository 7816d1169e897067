import { randomBytes } from "node:crypto";
import type { Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { parseReference } from "../domain/reference.ts";
import { containsSecret, createPublicId } from "../domain/token.ts";
import { quote } from "../domain/visible.ts";
import {
  type AgentAuditEvent,
  findEventPosition,
  findWorkplace,
  insertEvents,
  type NewEvent,
  readWorkspaceEvents,
} from "../repository/event.ts";

import type { Accepted } from "./decide.ts";

export type { AgentAuditEvent } from "../repository/event.ts";

/** How an event names the token of an accepted decision: `mc_…`, or `at_…` for a legacy one. */
export function referenceOf({ credential, actor }: Accepted): string {
  return credential?.id ?? actor.slug;
}

/** What an agent did, for the host's audit. Lengths are in characters. */
export interface AgentEvent {
  /** `mc_…` or `at_…`: of an accepted decision, `credential?.id ?? actor.slug`. */
  readonly token: string;
  /** 1 to 64: `card.move`. */
  readonly action: string;
  /** Up to 32: `card`. */
  readonly entityType?: string | null;
  /** Up to 64. */
  readonly entityId?: string | null;
  /** Stored as JSON, of up to 16 KiB; no token may be in it. */
  readonly metadata?: Readonly<Record<string, unknown>> | null;
}

/**
 * Writes what agents did, in one statement: each attributed to its token and the machine identity behind it, in the
 * token's workspace, at the database's time. All or none. Returns their ids (`ev_…`) in the order given.
 * @throws MidctlError `usage` for what does not fit, `not_found` for a token that is not there
 */
export async function recordAgentEvents(tx: Tx, events: readonly AgentEvent[]): Promise<string[]> {
  if (!Array.isArray(events)) {
    throw new MidctlError("usage", "The events are no list; no event was recorded.");
  }
  if (events.length === 0) return [];
  const rows = [...events].map((event: AgentEvent, index) => {
    try {
      return judgeEvent(event);
    } catch (error) {
      throw at(index, error);
    }
  });
  const [missing] = await insertEvents(tx, rows);
  if (missing !== undefined) {
    throw new MidctlError("not_found", `There is no agent token ${quote(missing)}; no event was recorded.`, {
      hint: "The host may have deleted it meanwhile, or its workspace.",
    });
  }
  return rows.map(({ publicId }) => `ev_${publicId}`);
}

function judgeEvent(given: AgentEvent): NewEvent {
  const { token, action, entityType, entityId, metadata } = requireObject("The event", given);
  return {
    publicId: createPublicId(randomBytes),
    token: publicIdOf(token),
    action: judgeText("An action", action, 1, 64),
    entityType: judgeOptional("An entity's type", entityType, 32),
    entityId: judgeOptional("An entity's id", entityId, 64),
    metadata: judgeMetadata(metadata),
  };
}

/** Names the event that does not fit: of a thousand it would have to be looked for. */
function at(index: number, error: unknown): unknown {
  if (!(error instanceof MidctlError)) return error;
  return new MidctlError(error.code, `events[${index}]: ${error.message}`, {
    ...(error.hint === null ? {} : { hint: error.hint }),
    details: { ...error.details, index },
  });
}

export interface RecentActivity {
  readonly agentAudit: readonly AgentAuditEvent[];
  /** To be given as `before` for the page that follows; null where there is none. */
  readonly nextBefore: string | null;
}

export const MAX_ACTIVITY = 200;
/** Bytes of JSON. A host's own rows may have more, and are shown without. */
const METADATA_MAX = 16 * 1024;
/** Bytes of JSON that the events of one page have together; no single event comes to as much. */
const PAGE_MAX = 256 * 1024;

export interface ActivityQuery {
  /** `mc_…` or `at_…`: whose workspace. */
  readonly token: string;
  /** 1 to 200. */
  readonly limit: number;
  /** An event's id (`ev_…`): only what came before it. */
  readonly before?: string | undefined;
}

/**
 * What agents did lately in the workspace of a token, newest first; in a database without workspaces, all of it. A page
 * has up to `limit` events and 256 KiB of JSON: it may end sooner, and `nextBefore` then goes on.
 * @throws MidctlError `usage` for a `before` that is no event of that workspace, and for what does not fit
 */
export async function readRecentActivity(tx: Tx, query: ActivityQuery): Promise<RecentActivity> {
  const { token, limit, before } = requireObject("The query", query);
  const publicId = publicIdOf(token);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_ACTIVITY) {
    throw new MidctlError("usage", "limit is out of bounds; nothing was read.", {
      hint: `It is a whole number from 1 to ${MAX_ACTIVITY}.`,
    });
  }
  if (before !== undefined) requireText("before", before);
  const place = await findWorkplace(tx, publicId);
  if (place === null) return { agentAudit: [], nextBefore: null };
  const position =
    before === undefined ? null : await findEventPosition(tx, place, EVENT.exec(before)?.[1] ?? "");
  if (before !== undefined && position === null) {
    throw new MidctlError("usage", `There is no event ${quote(before)} in this workspace.`, {
      hint: "Give the id of an event that was shown, ev_…, or leave `before` out.",
    });
  }
  const bounds = { limit, metadata: METADATA_MAX, page: PAGE_MAX };
  const { events, more } = await readWorkspaceEvents(tx, place, bounds, position);
  const agentAudit = events.slice(0, countFitting(events));
  const goesOn = more || agentAudit.length < events.length;
  return { agentAudit, nextBefore: goesOn ? (agentAudit.at(-1)?.id ?? null) : null };
}

/** How many of them go on one page: at least one. */
function countFitting(events: readonly AgentAuditEvent[]): number {
  let size = 0;
  const over = events.findIndex((event, index) => {
    size += Buffer.byteLength(JSON.stringify(event));
    return index > 0 && size > PAGE_MAX;
  });
  return over < 0 ? events.length : over;
}

/** A host's own ids may have other characters than ours, but none that PostgreSQL refuses. */
const EVENT = /^ev_([^\s\p{Cc}\p{Cs}]{1,12})$/u;

/** Callers in JavaScript hand in anything. */
function requireObject<Given extends object>(what: string, given: Given): Given {
  if (typeof given === "object" && given !== null) return given;
  throw new MidctlError("usage", `${what} is no object; nothing was done.`);
}

function requireText(what: string, given: string): string {
  if (typeof given === "string") return given;
  throw new MidctlError("usage", `${what} is no string; nothing was done.`);
}

function publicIdOf(given: string): string {
  const text = requireText("The token's id", given);
  const reference = parseReference(text);
  if (reference.kind === "credential" || reference.kind === "token") return reference.publicId;
  throw new MidctlError("usage", `${quote(text)} names no token.`, {
    hint: "Give the credential's mc_… or the token's at_….",
  });
}

/** What PostgreSQL cannot store (NUL, lone surrogates) and what a terminal may obey stays out. */
const CONTROL = /[\p{Cc}\p{Cs}]/u;

function judgeText(what: string, given: string, atLeast: number, atMost: number): string {
  const text = requireText(what, given);
  const length = [...text].length;
  if (length >= atLeast && length <= atMost && !CONTROL.test(text) && !containsSecret(text)) return text;
  throw new MidctlError("usage", `${what} cannot be ${quote(text)}; no event was recorded.`, {
    hint: `It has ${atLeast} to ${atMost} characters, none of them a control character, and is no token.`,
  });
}

function judgeOptional(what: string, text: string | null | undefined, atMost: number): string | null {
  return text === null || text === undefined ? null : judgeText(what, text, 0, atMost);
}

function judgeMetadata(metadata: AgentEvent["metadata"]): string | null {
  if (metadata === null || metadata === undefined) return null;
  const json = toJson(requireObject("An event's metadata", metadata));
  const size = Buffer.byteLength(json);
  if (size > METADATA_MAX) {
    throw new MidctlError("usage", `An event's metadata has ${size} bytes of JSON; no event was recorded.`, {
      hint: `Give at most ${METADATA_MAX}: what is long belongs into the entity, of which the event has the id.`,
    });
  }
  if (containsSecret(json)) {
    throw new MidctlError("usage", "An event's metadata holds a token; no event was recorded.", {
      hint: "Name the credential by its id, mc_…, and treat that token as leaked.",
    });
  }
  return json;
}

function toJson(metadata: Readonly<Record<string, unknown>>): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(metadata);
  } catch {
    // As where it comes to nothing.
  }
  if (json !== undefined) return json;
  throw new MidctlError("usage", "An event's metadata is no JSON; no event was recorded.");
}
