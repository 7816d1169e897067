import { describe, expect, test } from "vitest";
import { layOutTable, type TableCell } from "../../src/cli/table.ts";
import { displayWidth } from "../../src/cli/wrap.ts";

const plain = (text: string): TableCell => ({ text, paint: (painted) => painted });
const lay = (columns: Parameters<typeof layOutTable>[0], rows: string[][], width: number) =>
  layOutTable(
    columns,
    rows.map((row) => row.map(plain)),
    width,
    (title) => title,
  );

const columns = [{ title: "SLUG", fixed: true }, { title: "NAME" }, { title: "OWNER", optional: true }];

describe("a table", () => {
  test("is as wide as its text where there is room, without trailing blanks", () => {
    expect(lay(columns, [["a", "Name", "me"]], 80)).toBe("SLUG  NAME  OWNER\na     Name  me");
  });

  test.each([120, 60, 40, 28])("fits %i columns and keeps what people copy whole", (width) => {
    const slug = "codex-019a6f2e-demo";
    const text = lay(columns, [[slug, "A rather long display name", "the platform team"]], width);

    for (const line of text.split("\n")) expect(displayWidth(line)).toBeLessThanOrEqual(width);
    expect(text).toContain(slug);
  });

  test("shortens flexible cells with an ellipsis before it drops an optional column", () => {
    const text = lay(columns, [["slug", "A rather long display name", "me"]], 30);

    expect(text).toContain("…");
    expect(text).toContain("OWNER");
  });

  test("drops optional columns where shortening is not enough", () => {
    expect(lay(columns, [["codex-019a6f2e", "Name of it", "me"]], 22)).not.toContain("OWNER");
  });

  test("wraps what must not be shortened on a terminal narrower than it", () => {
    const text = lay([{ title: "SLUG", fixed: true }], [["abcdefghijklmnopqrst"]], 10);

    expect(text.split("\n").slice(1).join("")).toBe("abcdefghijklmnopqrst");
    for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(10);
  });

  test("measures wide and combining characters as a terminal does", () => {
    expect(displayWidth("日本")).toBe(4);
    expect(displayWidth("e\u0301")).toBe(1);
    const text = lay(columns, [["a", "日本語の名前です、とても長い", "me"]], 26);
    for (const line of text.split("\n")) expect(displayWidth(line)).toBeLessThanOrEqual(26);
  });
});
