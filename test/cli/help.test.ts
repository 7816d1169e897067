import { describe, expect, test } from "vitest";
import { registry } from "../../src/cli/registry.ts";
import { topics } from "../../src/cli/topics.ts";
import { runInWorld } from "./support/world.ts";

const help = async (...argv: string[]) => runInWorld(argv);

describe("help", () => {
  test.each([["--help"], ["-h"], ["help"], []])("of the whole by %j", async (...argv) => {
    const { code, stdout, stderr } = await help(...argv);

    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("Usage: midctl COMMAND");
  });

  test("of the whole lists every command and topic once, the main job first", async () => {
    const { stdout } = await help("--help");
    const heads = new Set(registry.map(({ path }) => path.split(" ")[0]));

    for (const head of heads) expect(stdout.match(new RegExp(`^  ${head} `, "gm"))).toHaveLength(1);
    for (const topic of Object.keys(topics)) expect(stdout).toContain(`  ${topic} `);
    expect(stdout.indexOf("  identity ")).toBeLessThan(stdout.indexOf("  context "));
  });

  test("of the whole fits 80 columns", async () => {
    const { stdout } = await help("--help");

    for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
  });

  test.each(registry.map(({ path }) => [path]))(
    "of %s says how it is used, with an example",
    async (path) => {
      const { code, stdout } = await help(...path.split(" "), "--help");

      expect(code).toBe(0);
      expect(stdout).toContain(`Usage: midctl ${path}`);
      expect(stdout).toMatch(/Examples:\n {2}# /);
    },
  );

  test("of a command is the same by `help` and by --help", async () => {
    expect((await help("help", "context", "set")).stdout).toBe(
      (await help("context", "set", "--help")).stdout,
    );
  });

  test.each(Object.keys(topics))("on %s fits 80 columns", async (topic) => {
    const { code, stdout } = await help("help", topic);

    expect(code).toBe(0);
    for (const line of stdout.split("\n")) {
      expect(line.length).toBeLessThanOrEqual(80);
    }
  });

  test("on something unknown suggests what was meant", async () => {
    const { code, stderr } = await help("help", "state");

    expect(code).toBe(3);
    expect(stderr).toContain("did you mean `midctl help states`?");
  });

  test("opens no database and reads no context", async () => {
    const env = { XDG_CONFIG_HOME: "/proc/self/nonexistent", MIDCTL_CONTEXT: "gone" };

    expect((await runInWorld(["list", "--help"], { env })).code).toBe(0);
  });
});
