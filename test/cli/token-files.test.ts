import fs from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { deliverToFiles } from "../../src/cli/campaign-delivery.ts";
import { openTokenFileOfRun } from "../../src/cli/token-files.ts";
import type { Environment } from "../../src/repository/environment.ts";
import { makeDirectory, makeToken } from "./token-file-support.ts";

const RUN = "rb_7Zk2mPq90aBc";

let directory: string;
let file: string;
beforeEach(() => {
  directory = makeDirectory();
  file = path.join(directory, "codex.token");
});
afterEach(() => {
  vi.restoreAllMocks();
  fs.rmSync(directory, { recursive: true, force: true });
});

/** Runs before each sync: of a file, with its name; or of a directory. */
function beforeSync(look: (of: "file" | "directory") => void): void {
  const real = fs.fsync;
  vi.spyOn(fs, "fsync").mockImplementation((fd, done) => {
    look(fs.fstatSync(fd).isDirectory() ? "directory" : "file");
    real(fd, done);
  });
}

describe("the token files of a run", () => {
  it("get their names after their contents are on disk, so that none is ever torn", async () => {
    const named: boolean[] = [];
    beforeSync(() => named.push(fs.existsSync(file)));
    const token = makeToken();

    await openTokenFileOfRun(file, RUN).write(token);

    expect(named).toEqual([false]);
    expect(fs.readFileSync(file, "utf8")).toBe(`${token.text}\n`);
    expect(fs.readdirSync(directory)).toEqual(["codex.token"]);
  });

  it("wait for the disk together", async () => {
    const written: number[] = [];
    beforeSync(() => written.push(fs.readdirSync(directory).length));

    await Promise.all(
      ["a", "b", "c"].map((name) => openTokenFileOfRun(`${file}.${name}`, RUN).write(makeToken())),
    );

    expect(Math.max(...written)).toBe(3);
    expect(fs.readdirSync(directory)).toHaveLength(3);
  });

  it("are written anew where a run that begins took them for left-overs", async () => {
    let taken = false;
    beforeSync(() => {
      for (const name of taken ? [] : fs.readdirSync(directory)) fs.rmSync(path.join(directory, name));
      taken = true;
    });
    const token = makeToken();

    await openTokenFileOfRun(file, RUN).write(token);

    expect(fs.readFileSync(file, "utf8")).toBe(`${token.text}\n`);
  });

  it("are another run's where that was quicker, and are not taken back then", async () => {
    const [quick, slow] = [openTokenFileOfRun(file, RUN), openTokenFileOfRun(file, RUN)];
    const token = makeToken();
    await quick.write(token);

    const found = await slow.write(makeToken());

    expect(found.text).toBe(token.text);
    expect(slow.discard()).toBe(true);
    expect(fs.readFileSync(file, "utf8")).toBe(`${token.text}\n`);
  });
});

describe("the files of a campaign", () => {
  const ENVIRONMENT: Environment = {
    ...{ name: "default", named: true, protected: false, databaseId: "d", movedTo: null },
    kind: "test",
  };
  const targetOf = (place: string) => ({ slug: "codex", place, successor: null });

  it("are written, named and renamed before their directory is synced each time", async () => {
    const seen: string[] = [];
    beforeSync((of) =>
      seen.push(`${of} beside ${fs.readdirSync(directory).filter((name) => !name.startsWith("."))}`),
    );
    const delivery = deliverToFiles(directory);

    const prepared = await delivery.prepare(targetOf(file), RUN, ENVIRONMENT);
    await delivery.settle();
    await prepared.deliver();
    await delivery.settle();

    expect(seen).toEqual([
      "file beside ",
      `directory beside codex.token.${RUN}`,
      "directory beside codex.token",
    ]);
  });

  it("get the secret that was issued, also where the run that made it took it back meanwhile", async () => {
    const made = await deliverToFiles(directory).prepare(targetOf(file), RUN, ENVIRONMENT);
    const found = await deliverToFiles(directory).prepare(targetOf(file), RUN, ENVIRONMENT);
    made.discard();

    await found.deliver();

    expect(fs.readdirSync(directory)).toEqual(["codex.token"]);
    expect(openTokenFileOfRun(file, RUN).existing?.publicId).toBe(found.commitment.publicId);
  });

  it("stay as another run left them, where one that was slower finds its secret gone", async () => {
    const slow = await deliverToFiles(directory).prepare(targetOf(file), RUN, ENVIRONMENT);
    fs.rmSync(`${file}.${RUN}`);
    const quick = await deliverToFiles(directory).prepare(targetOf(file), RUN, ENVIRONMENT);
    await quick.deliver();

    await expect(slow.deliver()).rejects.toThrow("this one was not delivered");

    expect(fs.readdirSync(directory)).toEqual(["codex.token"]);
    expect(openTokenFileOfRun(file, RUN).existing?.publicId).toBe(quick.commitment.publicId);
  });

  it("leave none half-written of a run that was killed", async () => {
    fs.writeFileSync(path.join(directory, `.midctl-token-${RUN}-0a1b`), "mid_test_hal", { mode: 0o600 });
    fs.writeFileSync(path.join(directory, ".midctl-token-rb_another12345-0a1b"), "mid_test_hal", {
      mode: 0o600,
    });

    await deliverToFiles(directory).prepare(targetOf(file), RUN, ENVIRONMENT);

    expect(fs.readdirSync(directory).sort()).toEqual([
      ".midctl-token-rb_another12345-0a1b",
      `codex.token.${RUN}`,
    ]);
  });

  it("have every directory on their way synced, whoever made it", async () => {
    fs.mkdirSync(path.join(directory, "team"), { mode: 0o700 });
    let directories = 0;
    beforeSync((of) => {
      if (of === "directory") directories += 1;
    });
    const delivery = deliverToFiles(directory);

    await delivery.prepare(targetOf(path.join(directory, "team", "codex", "token")), RUN, ENVIRONMENT);
    await delivery.settle();

    expect(directories).toBe(3);
  });
});
