import { describe, expect, test } from "vitest";
import { registry } from "../../src/cli/registry.ts";
import { routeArgv } from "../../src/cli/route.ts";
import { MidctlError } from "../../src/domain/errors.ts";

function usageError(argv: readonly string[]): MidctlError {
  try {
    routeArgv(argv);
  } catch (error) {
    if (error instanceof MidctlError && error.code === "usage") return error;
    throw error;
  }
  throw new Error("no usage error");
}

describe("finding the command", () => {
  test.each([
    [["--json", "context", "list"]],
    [["context", "--json", "list"]],
    [["context", "list", "--json"]],
  ])("takes a global option anywhere: %j", (argv) => {
    expect(routeArgv(argv)).toMatchObject({
      kind: "verb",
      entry: { path: "context list" },
      words: ["--json"],
    });
  });

  test("counts the words before the command, which are global whatever the command calls its own", () => {
    expect(routeArgv(["--actor", "me", "audit", "--actor", "alice"])).toMatchObject({
      entry: { path: "audit list" },
      words: ["--actor", "me", "--actor", "alice"],
      leading: 2,
    });
  });

  test("does not take a global option's value for the command", () => {
    const route = routeArgv(["--context", "list", "context", "show"]);

    expect(route).toMatchObject({ entry: { path: "context show" }, words: ["--context", "list"] });
  });

  test.each([
    [[], ""],
    [["--json"], ""],
    [["--help"], ""],
    [["context", "--help"], "context"],
    [["--help", "context", "set"], "context set"],
    [["context", "set", "prod", "-h"], "context set"],
  ])("answers %j with help", (argv, path) => {
    expect(routeArgv(argv)).toEqual({ kind: "help", path });
  });

  test("leaves --help alone behind --", () => {
    expect(routeArgv(["context", "use", "--", "--help"])).toMatchObject({ words: ["--", "--help"] });
  });

  test("takes --version as the version command", () => {
    expect(routeArgv(["--version"])).toMatchObject({ entry: { path: "version" } });
  });

  test("names what a noun alone could mean", () => {
    expect(usageError(["context"]).message).toContain("list, show, use, set, remove");
  });
});

describe("a command that does not exist", () => {
  test.each([
    ["a typing error", ["contxt", "list"], "midctl context"],
    ["a typing error in the verb", ["context", "lsit"], "midctl context list"],
    ["swapped words", ["use", "prod"], "midctl context use"],
    ["a verb under the wrong noun", ["context", "completion"], "midctl completion"],
  ])("%s is answered with the right one", (_what, argv, meant) => {
    expect(usageError(argv).hint).toBe(`did you mean \`${meant}\`?`);
  });

  test("something wholly unknown is answered with help", () => {
    expect(usageError(["xyzzy"]).hint).toBe("midctl --help");
  });

  test("an unknown option before the command is named without its value", () => {
    const error = usageError(["--acotr=somebody", "context", "list"]);

    expect(error.message).toBe("unknown option --acotr before the command");
    expect(error.hint).toBe("did you mean --actor?");
  });
});

describe("a token among the arguments", () => {
  const token = "mid_live_aaaaaaaaaaaa_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbcccccc";

  test.each([
    [["verify", token]],
    [["context", "list", `--reason=leaked ${token}`]],
    [["nonsense", "--", token]],
  ])("is refused before anything else, and not repeated", (argv) => {
    const error = usageError(argv);

    expect(error.message).toContain("nothing was done");
    expect(JSON.stringify(error)).not.toContain("bbbb");
    expect(`${error.message}${error.hint}`).not.toContain("bbbb");
  });
});

test("every command is where the registry says, under its own path", async () => {
  for (const entry of registry) {
    const verb = await entry.load();
    expect(verb.path.join(" ")).toBe(entry.path);
  }
});
