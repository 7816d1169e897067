/** What a runbook says, as the campaign that somebody would have said in flags. */
import { parseDuration } from "../domain/duration.ts";
import { MidctlError } from "../domain/errors.ts";
import { parseLabelKey } from "../domain/labels.ts";
import {
  parseCredentialName,
  parseLabelValue,
  parseOwner,
  parseProvider,
  parseReason,
} from "../domain/names.ts";
import { parsePlaceTemplate } from "../domain/place-template.ts";
import { parseScope } from "../domain/scope.ts";
import { parseSlug } from "../domain/slug.ts";
import { quote } from "../domain/visible.ts";
import type { CampaignTerms } from "../operations/campaign/terms.ts";
import { MAX_GRACE } from "../operations/credential-rotate.ts";
import type { Selection } from "../operations/selection.ts";
import { campaignTermsOf, type DeliveryWords } from "./campaign-options.ts";
import { splitCommand } from "./password-command.ts";
import { type Fault, isWrong, type RunbookFile } from "./runbook-file.ts";
import type { Setting } from "./runbook-setting.ts";
import { filterOf } from "./selection.ts";

export interface ReadRunbook {
  readonly selection: Selection;
  readonly terms: CampaignTerms;
  readonly replacePending: boolean;
  readonly words: DeliveryWords;
  /** Seconds. */
  readonly waitProof: number | undefined;
}

/** In place of what nobody has said, where a runbook is only looked at: a word that any of its places takes. */
const SAMPLE = "x";

/**
 * What a runbook says, its parameters filled in.
 * @param settings null where it is only looked at, and no parameter has a value yet
 * @throws MidctlError `usage` that names every line that is wrong, and what has to be set
 */
export function readRunbook(
  file: RunbookFile,
  settings: readonly Setting[] | null,
  reason: string | null,
): ReadRunbook {
  const { path, sha256, lineOf } = file;
  const {
    name: title,
    select,
    credential = {},
    delivery,
    batches = {},
    health,
    abort,
    proof,
    ...said
  } = file.runbook;
  const values = valuesOf(file, settings);
  const faults: Fault[] = [];
  const at = <T>(where: readonly PropertyKey[], read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof MidctlError)) throw error;
      const hint = error.hint === null ? "" : ` ${error.hint}`;
      faults.push({
        line: lineOf(where),
        message: `${where.map(String).join(".")}: ${error.message}${hint}`,
      });
      return undefined;
    }
  };
  const fill = (text: string): string => fillIn(text, values);
  const life = (where: readonly PropertyKey[], text: string | undefined, limits = {}) =>
    text === undefined ? undefined : at(where, () => parseDuration(text, limits));

  const selection = readSelect(select, at, fill, faults, lineOf);
  const one = [delivery.files, delivery.command].filter((way) => way !== undefined).length === 1;
  if (!one) faults.push({ line: lineOf(["delivery"]), message: "delivery is either files or a command" });
  if (delivery.stage !== undefined && delivery.command === undefined)
    faults.push({ line: lineOf(["delivery", "stage"]), message: "delivery.stage goes with a command" });
  for (const way of ["files", "stage"] as const) {
    const place = delivery[way];
    if (place !== undefined) at(["delivery", way], () => parsePlaceTemplate(place));
  }
  for (const [where, command] of [
    [["delivery", "command"], delivery.command],
    [["health", "command"], health?.command],
  ] as const) {
    if (command !== undefined) at(where, () => splitCommand(command, "the command"));
  }
  if (said.compromised === true && said.grace !== undefined)
    faults.push({ line: lineOf(["grace"]), message: "what is compromised gets no grace" });
  const words: DeliveryWords = {
    tokenFileDir: delivery.files,
    deliverExec: delivery.command,
    stageDir: delivery.stage,
    deliverTimeout: life(["delivery", "timeout"], delivery.timeout),
    health: health?.command,
    healthTimeout: life(["health", "timeout"], health?.timeout),
  };
  const { expires = "90d", scopes = [] } = credential;
  const asked = {
    ...words,
    name: at(["credential", "name"], () => parseCredentialName(credential.name ?? "default")) ?? "",
    scope: scopes.map((scope, index) => at(["credential", "scopes", index], () => parseScope(scope)) ?? ""),
    expires: expires === "never" ? ("never" as const) : life(["credential", "expires"], expires),
    activateWithin: life(["credential", "activateWithin"], credential.activateWithin),
    grace: life(["grace"], said.grace, { atLeast: 0, atMost: MAX_GRACE }),
    compromised: said.compromised === true,
    replacePending: credential.replacePending === true,
    batch: batches.size,
    batchPause: life(["batches", "pause"], batches.pause, { atLeast: 0 }),
    maxFailures: abort?.failures,
    waitProof: life(["proof", "within"], proof?.within),
    ...{ tokenFile: undefined, commitment: undefined, expectCurrent: undefined },
  };
  const why =
    said.reason === undefined ? null : (at(["reason"], () => parseReason(fill(said.reason ?? ""))) ?? null);
  if (faults.length > 0) throw isWrong(path, faults);
  return {
    selection,
    terms: { ...campaignTermsOf(asked, reason ?? why), runbook: { name: title, sha256 } },
    replacePending: asked.replacePending,
    words,
    waitProof: asked.waitProof,
  };
}

function readSelect(
  { all, identities, labels = {}, ...rest }: RunbookFile["runbook"]["select"],
  at: <T>(where: readonly PropertyKey[], read: () => T) => T | undefined,
  fill: (text: string) => string,
  faults: Fault[],
  lineOf: RunbookFile["lineOf"],
): Selection {
  const fits = Object.keys(labels).length > 0 || Object.values(rest).some((value) => value !== undefined);
  if ([all === true, identities !== undefined, fits].filter(Boolean).length !== 1) {
    faults.push({
      line: lineOf(["select"]),
      message: "select is either all, or identities, or what they have in common",
    });
  }
  if (identities !== undefined) {
    return {
      slugs: identities.map(
        (slug, index) => at(["select", "identities", index], () => parseSlug(fill(slug))) ?? "",
      ),
    };
  }
  const text = (key: "owner" | "provider", parse: (value: string) => string) => {
    const value = rest[key];
    return value === undefined ? undefined : at(["select", key], () => parse(fill(value)));
  };
  const life = (key: "expiringWithin" | "unusedFor") => {
    const value = rest[key];
    return value === undefined ? undefined : at(["select", key], () => parseDuration(value));
  };
  return {
    filter: filterOf({
      status: [],
      label: Object.entries(labels).map(([key, value]) => ({
        key: at(["select", "labels", key], () => parseLabelKey(key)) ?? "",
        value: at(["select", "labels", key], () => parseLabelValue(fill(value))) ?? "",
      })),
      owner: text("owner", parseOwner),
      provider: text("provider", parseProvider),
      expiringWithin: life("expiringWithin"),
      unusedFor: life("unusedFor"),
    }),
  };
}

/** @throws MidctlError `usage` for a parameter without a value, and for a value without a parameter */
function valuesOf(
  { runbook, path }: RunbookFile,
  settings: readonly Setting[] | null,
): ReadonlyMap<string, string> {
  const names = Object.keys(runbook.parameters ?? {});
  if (settings === null) return new Map(names.map((name) => [name, SAMPLE]));
  const values = new Map<string, string>();
  for (const { name, value } of settings) {
    if (names.includes(name) && !values.has(name)) values.set(name, value);
    else {
      throw new MidctlError(
        "usage",
        `${values.has(name) ? `${quote(name)} is set twice` : `${quote(path)} has no parameter ${quote(name)}`}; nothing was changed`,
        { hint: names.length === 0 ? "it has none" : `it has ${names.join(", ")}` },
      );
    }
  }
  const missing = names.filter((name) => !values.has(name));
  if (missing.length === 0) return values;
  const about = missing.map((name) => `${name} (${runbook.parameters?.[name]})`).join(", ");
  throw new MidctlError("usage", `${quote(path)} wants ${about}; nothing was changed`, {
    hint: missing.map((name) => `--set ${name}=…`).join(" "),
  });
}

function fillIn(text: string, values: ReadonlyMap<string, string>): string {
  return text.replace(/\$\{([^{}]*)\}/g, (whole, name: string) => {
    const value = values.get(name);
    if (value !== undefined) return value;
    throw new MidctlError("usage", `${quote(whole)} stands for nothing: there is no such parameter.`);
  });
}
