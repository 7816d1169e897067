import { describe, expect, test } from "vitest";
import { expandPlace, type PlaceValues, parsePlaceTemplate } from "../../src/domain/place-template.ts";

const THREAD: PlaceValues = {
  ...{ slug: "codex-1", name: "default", provider: "codex", threadId: "1" },
  labels: { team: "infra", "app.example/tier": "web", odd: "../../etc", empty: "" },
};
const SERVICE: PlaceValues = { ...THREAD, slug: "bot", provider: null, threadId: null };
const place = (template: string, values = THREAD) => expandPlace(parsePlaceTemplate(template), values);

describe("the file of a target", () => {
  test.each([
    ["/secrets", "/secrets/codex-1.token"],
    ["/secrets/", "/secrets/codex-1.token"],
    ["secrets", "secrets/codex-1.token"],
    ["/secrets/{slug}", "/secrets/codex-1"],
    ["/agents/{label.team}/{provider}-{thread}/token.{name}", "/agents/infra/codex-1/token.default"],
    ["/agents/{label.app.example/tier}/{slug}", "/agents/web/codex-1"],
    ["{slug}/token", "./codex-1/token"],
    ["/{slug}", "/codex-1"],
  ])("by %s is %s", (template, expected) => {
    expect(place(template)).toBe(expected);
  });
});

describe("is refused", () => {
  test.each([
    "",
    "/secrets/{slugs}",
    "/secrets/{slug",
    "/secrets/slug}",
    "/secrets/{slug}/",
    "/secrets/{label.}",
  ])("a template that says %j", (template) => {
    expect(() => parsePlaceTemplate(template)).toThrow(/nothing was changed/);
  });

  test.each(["/secrets/{slug}/../../etc/passwd", "/secrets/{name}/.."])(
    "one that leaves its directory, %j",
    (template) => {
      expect(() => parsePlaceTemplate(template)).toThrow(/is no name of a file in the directory/);
    },
  );

  test("a value that leaves it", () => {
    expect(() => place("/secrets/{label.odd}")).toThrow(/is no name of a file in the directory for codex-1/);
  });

  test.each(["..", ".", "a/b", "a\nb", "\u0000"])("a name that is %j", (team) => {
    expect(() => place("/secrets/{label.team}", { ...THREAD, labels: { team } })).toThrow(
      /is no name of a file in the directory/,
    );
  });

  test.each([
    ["a directory's name of 255 bytes", "/secrets/{label.team}/token", 255],
    ["a file's name of 239 bytes, with room for the campaign's behind it", "/secrets/{label.team}", 239],
  ])("no more than %s", (_, template, bytes) => {
    const named = (size: number) => ({ ...THREAD, labels: { team: `é${"x".repeat(size - 2)}` } });

    expect(place(template, named(bytes))).toContain("xx");
    expect(() => place(template, named(bytes + 1))).toThrow(/too long a name/);
  });

  test.each([
    ["/secrets/{provider}", SERVICE],
    ["/secrets/{label.none}", THREAD],
    ["/secrets/{label.empty}", THREAD],
    ["/secrets/{label.constructor}", THREAD],
  ])("%s for a target that has no such thing", (template, values) => {
    expect(() => place(template, values)).toThrow(/which the template asks for/);
  });
});
