import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answer, type Desk, openDesk } from "./desk.ts";
import { findUnshare, runShell } from "./shell.ts";

/** A real file system of so many pages, which fills in the middle of a campaign. Each token file takes a page. */
const UNSHARE = findUnshare();
const FLEET = 6;
/** The old secret of each, and three new ones beside them. */
const PAGES = FLEET + 3;

describe.runIf(UNSHARE !== null)("a disk that fills in the middle of a campaign", () => {
  let desk: Desk;
  let slugs: readonly string[];
  /** Where the disk is mounted, for the script alone; what it looked like is copied here and there. */
  let disk: string;
  let seen: string;
  let stopped: { readonly code: number; readonly stderr: string; readonly document: Answer };
  let resumed: Answer;

  beforeAll(async () => {
    desk = await openDesk();
    slugs = Array.from({ length: FLEET }, (_, at) => `bot-${at + 1}`);
    for (const slug of slugs) await desk.identity(slug);
    [disk, seen] = [mkdtempSync(join(desk.directory, "disk-")), mkdtempSync(join(desk.directory, "seen-"))];
    // Each holds its first secret in a file of the disk, used once; then the campaign, the look, room, and the rest.
    const rotate = `$midctl credential rotate --all --yes --token-file-dir ${disk}`;
    const { code, stderr } = runShell(
      desk,
      `${UNSHARE} sh -ec '
        mount -t tmpfs -o size=${PAGES * 4}k,mode=0700 disk ${disk}
        for slug in ${slugs.join(" ")}; do
          $midctl credential issue $slug --quiet --token-file ${disk}/$slug.token
          $midctl credential activate --quiet < ${disk}/$slug.token
        done
        code=0; ${rotate} --json > ${seen}/document 2> ${seen}/stderr || code=$?
        echo $code > ${seen}/code
        mkdir ${seen}/full ${seen}/after
        cp -a ${disk}/. ${seen}/full
        mount -o remount,size=1m ${disk}
        id=$(sed "s/.*\\"id\\":\\"\\(rb_[^\\"]*\\)\\".*/\\1/;q" ${seen}/document)
        $midctl runbook resume $id --token-file-dir ${disk} --json > ${seen}/resumed
        cp -a ${disk}/. ${seen}/after'`,
    );
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const read = (name: string) => readFileSync(join(seen, name), "utf8");
    stopped = { code: Number(read("code")), stderr: read("stderr"), document: JSON.parse(read("document")) };
    resumed = JSON.parse(read("resumed"));
  });
  afterAll(() => desk?.dispose());

  const secretsIn = (directory: string) =>
    slugs.map((slug) => readFileSync(join(seen, directory, `${slug}.token`), "utf8"));

  it("stops it, and says of whom and why: exit 8", () => {
    expect(stopped).toMatchObject({
      code: 8,
      document: { campaign: { status: "stopped", targets: FLEET, delivered: 3, failed: 3 } },
      stderr: expect.stringContaining("midctl runbook resume rb_"),
    });
    const failed = stopped.document.results.filter(({ state }: Answer) => state === "failed");
    for (const { problem } of failed) expect(problem).toContain("the disk is full (ENOSPC)");
  });

  it("locks nobody out: each file holds one whole secret that works, the new one or the old", async () => {
    const secrets = secretsIn("full");

    const answers = [];
    for (const secret of secrets) answers.push(await desk.ask("verify", { stdin: secret }));

    expect(answers.map(({ actor }) => actor.slug)).toEqual(slugs);
    const credentials = answers.map(({ credential }) => credential.id);
    expect(credentials).toEqual(
      stopped.document.results.map(({ state, credential, replaces }: Answer) =>
        state === "delivered" ? credential : replaces,
      ),
    );
  });

  it("leaves nothing half-written", () => {
    expect(readdirSync(join(seen, "full")).sort()).toEqual(slugs.map((slug) => `${slug}.token`));
    expect(secretsIn("full")).toEqual(slugs.map(() => expect.stringMatching(/^mid_test_\w{62}\n$/)));
  });

  it("is gone on from where it stopped, once there is room", async () => {
    expect(resumed.campaign).toMatchObject({ status: "done", delivered: FLEET, failed: 0 });
    for (const [at, secret] of secretsIn("after").entries()) {
      expect(await desk.ask("verify", { stdin: secret })).toMatchObject({
        credential: { id: resumed.results[at].credential, identity: slugs[at] },
      });
    }
    expect(readdirSync(join(seen, "after")).sort()).toEqual(slugs.map((slug) => `${slug}.token`));
  });
});
