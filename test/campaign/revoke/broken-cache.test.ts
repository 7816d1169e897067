import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, inject, it } from "vitest";

const CAMPAIGN = fileURLToPath(new URL("../revoke.mjs", import.meta.url));

/** A campaign that passes proves something only if it fails where verifiers are wrong. */
it("the revoke campaign finds verifiers guilty that keep acceptances for a while", () => {
  const args = [CAMPAIGN, "--count", "4000", "--seconds", "8", "--seed", "1", "--broken-cache"];
  const env = { PATH: process.env.PATH, TMPDIR: inject("scratch") };

  const { status, stdout } = spawnSync(process.execPath, args, { encoding: "utf8", env });

  expect(status, stdout).toBe(1);
  expect(stdout).toMatch(/after pause: mc_\w+ of agent-\S+ at verifier \d, .* after the end of pause/);
});
