import { describe, expect, test } from "vitest";
import { insertLegacy } from "../verifier/scene.ts";
import { openStage, sendRaw } from "./stage.ts";

describe("the access log", () => {
  test("has one line for each request: time, method, path, status, milliseconds, actor", async () => {
    const stage = await openStage();
    const { token } = await stage.issue("codex-logged");

    await stage.ask("/auth", token);
    await stage.ask("/auth", null, { method: "POST", body: "x" });
    await stage.ask("/healthz");
    await stage.dispose();

    const lines = stage.log().trimEnd().split("\n");
    expect(lines.map((line) => line.split(" ").toSpliced(4, 1))).toEqual([
      [
        expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        "GET",
        "/auth",
        "200",
        "codex-logged",
      ],
      [expect.any(String), "POST", "/auth", "401", "-"],
      [expect.any(String), "GET", "/healthz", "200", "-"],
    ]);
    expect(lines.every((line) => /^\d+\.\d\d$/.test(line.split(" ")[4] ?? ""))).toBe(true);
  });

  test("writes down nothing that a client made up: no other path, no query, no header", async () => {
    const stage = await openStage();
    const { token } = await stage.issue("codex-silent");

    await stage.ask(`/auth/${token}`);
    await stage.ask(`/${token}`, token);
    await stage.ask(`/auth?scope=${token}`, token);
    await stage.ask("/kanagent_secret-of-a-host");
    await sendRaw(stage.port, `GET /x%0d%0aforged HTTP/1.1\r\nHost: ${token}\r\nReferer: ${token}\r\n\r\n`);
    await stage.dispose();

    expect(
      stage
        .log()
        .split("\n")
        .map((line) => line.split(" ")[2]),
    ).toEqual(["(other)", "(other)", "/auth", "(other)", "(other)", undefined]);
    expect(stage.log()).not.toMatch(/mid_test|kanagent|forged/);
  });

  test("stays one line a request, whatever public id a host chose", async () => {
    const stage = await openStage();
    const token = await insertLegacy(stage.db, "legacylog001");
    await stage.db.query(`UPDATE agent_token SET "publicId" = $1 WHERE "publicId" = $2`, [
      "a\nforged",
      "legacylog001",
    ]);

    await stage.ask("/auth", token);
    await stage.dispose();

    expect(stage.log()).toMatch(/ at_a%0Aforged\n$/);
  });
});
