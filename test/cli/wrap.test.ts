import { describe, expect, test } from "vitest";
import { displayWidth, wrapMessage, wrapText } from "../../src/cli/wrap.ts";

describe("text on a terminal", () => {
  test.each([80, 40, 20])("breaks between words at %i columns, and loses nothing", (width) => {
    const text = "Whoever checks the proof agrees that pausing was asked for by NAME alone.";

    const lines = wrapText(text, width).split("\n");

    for (const line of lines) expect(displayWidth(line)).toBeLessThanOrEqual(width);
    expect(lines.join(" ")).toBe(text);
  });

  test("keeps a line that fits as it is, with its blanks", () => {
    expect(wrapText("  a   b\n", 10)).toBe("  a   b\n");
  });

  test("leaves a word longer than the line whole, so that it is copied whole", () => {
    expect(wrapText("see 0123456789abcdef there", 10)).toBe("see\n0123456789abcdef\nthere");
  });

  test("keeps a command in backquotes together where a line has room for it", () => {
    expect(wrapText("Run `midctl status` first.", 16)).toBe("Run\n`midctl status`\nfirst.");
    expect(wrapText("Run `midctl audit verify` first.", 14)).toBe("Run `midctl\naudit verify`\nfirst.");
  });

  test("goes on as far to the right as a line began", () => {
    expect(wrapText("error: no\n  line 3: bad words", 12)).toBe("error: no\n  line 3:\n  bad words");
  });

  test("counts no colours", () => {
    expect(wrapText("\u001b[31mred and\u001b[39m gone", 12)).toBe("\u001b[31mred and\u001b[39m gone");
  });
});

test("a message is wrapped on a terminal alone", () => {
  const place = (stderrIsTerminal: boolean) => ({ stderrIsTerminal, columns: () => 8 });

  expect(wrapMessage("one two three\n", place(true))).toBe("one two\nthree\n");
  expect(wrapMessage("one two three\n", place(false))).toBe("one two three\n");
});
