import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";
import { shellWord } from "../../src/domain/shell-word.ts";

it.each(["alice", "a@b.c/d:e+f-g_h", "Data Team", "x; touch PWNED #", "it's", "$(id) `id`", "a\nb", "", "é"])(
  "is taken by a shell for one word, as it is: %j",
  (text) => {
    const said = execFileSync("/bin/sh", ["-c", `printf '[%s]' ${shellWord(text)}`], { encoding: "utf8" });

    expect(said).toBe(`[${text}]`);
  },
);
