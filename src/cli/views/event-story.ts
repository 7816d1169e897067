/** What happened, in words: one sentence for each event, of whoever stands beside it. */
import type { EventDocument } from "../documents.ts";

type Details = EventDocument["details"];

/** `issued mc_… to codex-1 for 90d`. Stored text in it is not yet made visible. */
export function tellEvent(event: EventDocument): string {
  const { leftOut } = event.details;
  if (typeof leftOut === "number") return `${tellUntold(event)}, and ${leftOut} bytes that are not shown`;
  const tell = STORIES[event.action];
  if (tell !== undefined) return tell(event);
  return tellUntold(event);
}

/** Without what is said of it. */
function tellUntold(event: EventDocument): string {
  return event.index === null ? tellAgent(event) : [event.action, ...subjectOf(event)].join(" ");
}

const STORIES: Readonly<Record<string, (event: EventDocument) => string>> = {
  "identity.create": ({ machineIdentity, details }) =>
    `made ${machineIdentity?.slug}${said(" under ", details.parent)}${said(", owner ", details.owner)}`,
  "identity.adopt": ({ machineIdentity }) => `took in ${machineIdentity?.slug} as the host had it`,
  "identity.update": (event) => `changed ${event.machineIdentity?.slug}: ${changesOf(event.details)}`,
  "identity.pause": ({ machineIdentity, details }) =>
    `paused ${machineIdentity?.slug}${details.idle === true ? ", idle too long" : ""}`,
  "identity.resume": ({ machineIdentity }) => `resumed ${machineIdentity?.slug}`,
  "identity.revoke": ({ machineIdentity }) => `revoked ${machineIdentity?.slug} for good`,
  "credential.issue": (event) =>
    `issued ${nameOf(event)} to ${event.machineIdentity?.slug}${lifeOf(event)}${said(", to replace ", event.details.replaces)}`,
  "credential.adopt": (event) =>
    `adopted ${nameOf(event)} for ${event.machineIdentity?.slug}${lifeOf(event)}`,
  "credential.activate": (event) => `activated ${nameOf(event)} by its first use`,
  "credential.supersede": (event) =>
    `superseded ${nameOf(event)}${distance(", which works on for ", event.at, event.details.graceUntil)}`,
  "credential.abandon": (event) =>
    `abandoned ${nameOf(event)} of ${event.machineIdentity?.slug}, never used${said(", for ", event.details.replacedBy)}`,
  "credential.pause": (event) => `paused ${nameOf(event)} of ${event.machineIdentity?.slug}`,
  "credential.resume": (event) => `resumed ${nameOf(event)} of ${event.machineIdentity?.slug}`,
  "credential.revoke": (event) => `revoked ${nameOf(event)} of ${event.machineIdentity?.slug}`,
  "credential.update": (event) =>
    `changed ${nameOf(event)} of ${event.machineIdentity?.slug}: ${changesOf(event.details)}`,
  "token.revoke": (event) => `revoked the legacy token ${nameOf(event)}`,
  "token.update": (event) => `changed the legacy token ${nameOf(event)}: ${changesOf(event.details)}`,
  "environment.create": ({ details }) => `began the log of this database, ${kindOf(details)}`,
  "environment.init": ({ details }) => `named this database ${text(details.name)}, ${kindOf(details)}`,
  "environment.protect": ({ details }) => `protected ${text(details.name)}: changes need approval`,
  "environment.grant": ({ details }) => {
    const [before = [], after = []] = Array.isArray(details.roles) ? details.roles : [];
    return `gave the database role ${text(details.databaseRole)} ${roles(after)}, where it had ${roles(before)}`;
  },
  "environment.move": ({ details }) => `moved this database to ${text(details.movedTo)}`,
  "workspace.delete": ({ details }) =>
    `deleted the workspace ${text(details.workspace)}: ${text(details.identities)} identities revoked, ${text(details.tokens)} tokens and ${text(details.events)} events gone`,
  "approval.request": ({ details }) =>
    `asked to ${text(details.action)}${many(details.lines)}: ${text(details.approval)}`,
  "approval.break_glass": ({ details }) =>
    `broke glass to ${text(details.action)}${many(details.lines)}${said(", ticket ", details.ticket)}: ${text(details.approval)}`,
  "approval.approve": ({ details }) => `approved ${text(details.approval)}${signed(details)}`,
  "approval.countersign": ({ details }) => `countersigned ${text(details.approval)}${signed(details)}`,
  "approval.reject": ({ details }) => `rejected ${text(details.approval)}${signed(details)}`,
  "approval.cancel": ({ details }) => `cancelled ${text(details.approval)}`,
  "approval.supersede": ({ details }) =>
    `found line ${text(details.line)} of ${text(details.approval)} outdated`,
};

/** What an agent did, in the host's own words: `card.move card a1b2`. */
function tellAgent({ action, details }: EventDocument): string {
  const entity = [details.entityType, details.entityId].filter((part) => typeof part === "string");
  return [action, ...entity].join(" ");
}

function subjectOf({ machineIdentity, credential }: EventDocument): string[] {
  return [credential, machineIdentity?.slug].filter((part) => typeof part === "string");
}

/** `mc_…`, and its name where it has another than the usual one. */
function nameOf({ credential, details }: EventDocument): string {
  const name = typeof details.name === "string" && details.name !== "default" ? ` (${details.name})` : "";
  return `${credential ?? "a credential"}${name}`;
}

function lifeOf({ at, details }: EventDocument): string {
  return details.expiresAt === null ? ", without end" : distance(" for ", at, details.expiresAt);
}

const UNITS = [
  ["d", 86_400],
  ["h", 3_600],
  ["m", 60],
] as const;

/** How long it was from one moment to the other then, to the nearest unit: `90d`. */
function distance(before: string, from: string, to: unknown): string {
  const seconds =
    typeof to === "string" ? Math.round((Date.parse(to) - Date.parse(from)) / 1000) : Number.NaN;
  if (Number.isNaN(seconds) || seconds < 0) return "";
  const [unit, size] = UNITS.find(([, length]) => seconds >= length - 1) ?? ["s", 1];
  return `${before}${Math.round(seconds / size)}${unit}`;
}

/** `owner alice → bob, displayName …`: what is stored as a pair of before and after. */
function changesOf(details: Details): string {
  const pairs = Object.entries(details).flatMap(([key, value]) =>
    Array.isArray(value) && value.length === 2 ? `${key} ${text(value[0])} → ${text(value[1])}` : [],
  );
  return pairs.length === 0 ? "nothing that is shown here" : pairs.join(", ");
}

function kindOf({ live, protected: isProtected }: Details): string {
  return `${live === true ? "live" : "test"}${isProtected === true ? ", protected" : ""}`;
}

function roles(value: unknown): string {
  return Array.isArray(value) && value.length > 0 ? value.map(text).join(" and ") : "none";
}

function many(lines: unknown): string {
  return typeof lines === "number" && lines > 1 ? ` ${lines} targets` : "";
}

/** A signer is who the key says, whoever typed it. */
function signed({ principal }: Details): string {
  return said(", signed by ", principal);
}

function said(before: string, value: unknown): string {
  return value === null || value === undefined || value === "" ? "" : `${before}${text(value)}`;
}

function text(value: unknown): string {
  if (value === null || value === undefined) return "none";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
