import { describe, expect, it } from "vitest";
import { parseKeptHead } from "../../src/domain/kept-head.ts";

const HEAD = `midctl/test\n7\n${Buffer.alloc(32, 1).toString("base64")}\n`;
const SIGNED = `${HEAD}\n— log ${Buffer.alloc(68, 2).toString("base64")}\n`;

describe("a kept head", () => {
  it.each([
    ["that is bare", HEAD],
    ["that is signed", SIGNED],
    ["that was accepted", `${HEAD}midctl-accepted 1\n`],
  ])("%s is the same with an empty line behind it", (_, text) => {
    const head = parseKeptHead(text);

    expect(head?.size).toBe(7);
    expect(parseKeptHead(`${text}\n`)).toEqual(head);
  });

  it("is none with an empty line within it", () => {
    expect(parseKeptHead(HEAD.replace("7\n", "7\n\n"))).toBeNull();
  });
});
