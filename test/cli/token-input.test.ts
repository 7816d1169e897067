import { randomBytes } from "node:crypto";
import { chmodSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, inject, test } from "vitest";
import { readToken } from "../../src/cli/token-input.ts";
import { createToken } from "../../src/domain/token.ts";
import { makeContext } from "./support/world.ts";

describe("a token file that is read", () => {
  const { text } = createToken("test", randomBytes);
  let file: string;
  beforeEach(() => {
    file = join(mkdtempSync(join(inject("scratch"), "read-")), "token");
    writeFileSync(file, `${text}\n`, { mode: 0o600 });
  });
  const read = (path: string) => readToken(makeContext().context, path);

  test("gives its token", async () => {
    expect(await read(file)).toBe(text);
  });

  test("and that others can read too is refused in a reader's words, with what mends it", async () => {
    chmodSync(file, 0o644);

    await expect(read(file)).rejects.toMatchObject({
      code: "usage",
      message: expect.stringMatching(/is not read: its mode is 0644.*No token was read\.$/),
      hint: expect.stringContaining("chmod 600"),
    });
  });

  test("is not looked for behind a link", async () => {
    symlinkSync(file, `${file}.link`);

    await expect(read(`${file}.link`)).rejects.toMatchObject({
      code: "usage",
      message: expect.stringMatching(/is not read: it is a symbolic link\. No token was read\.$/),
    });
  });

  test("and is not there is named", async () => {
    await expect(read(`${file}.none`)).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("there is no token file"),
    });
  });
});
