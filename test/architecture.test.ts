import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { registry } from "../src/cli/registry.ts";

const root = resolve(import.meta.dirname, "..");
const src = join(root, "src");

/** The rooms, from the outside in: a file may import its own and those after it (SPEC §11). */
const layers = ["cli", "server", "operations", "repository", "db", "domain"];

const files = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .sort();

interface Source {
  readonly file: string;
  readonly tree: ts.SourceFile;
  /** Module names of every import, static, dynamic or by `require`. */
  readonly imports: readonly string[];
}

const sources: readonly Source[] = files.map((file) => {
  const tree = ts.createSourceFile(file, readFileSync(join(src, file), "utf8"), ts.ScriptTarget.ES2022, true);
  return { file, tree, imports: importsOf(tree) };
});

function importsOf(tree: ts.SourceFile): string[] {
  const found: string[] = [];
  visit(tree, (node) => {
    const named =
      (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined
        ? node.moduleSpecifier
        : ts.isCallExpression(node) && /^(import|require)$/.test(node.expression.getText())
          ? node.arguments[0]
          : ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)
            ? node.argument.literal
            : undefined;
    if (named !== undefined && ts.isStringLiteral(named)) found.push(named.text);
  });
  return found;
}

function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node);
  ts.forEachChild(node, (child) => visit(child, see));
}

function layerOf(file: string): string | undefined {
  const [first] = file.split("/");
  return first !== undefined && layers.includes(first) ? first : undefined;
}

/** Files whose tree has a node like that. */
function filesWith(matches: (node: ts.Node, file: string) => boolean): string[] {
  return sources
    .filter(({ file, tree }) => {
      let found = false;
      visit(tree, (node) => {
        found ||= matches(node, file);
      });
      return found;
    })
    .map(({ file }) => file);
}

describe("dependencies run one way", () => {
  test.each(sources.filter(({ file }) => layerOf(file) !== undefined))("in $file", ({ file, imports }) => {
    const own = layers.indexOf(layerOf(file) ?? "");
    const targets = imports
      .filter((name) => name.startsWith("."))
      .map((name) => relative(src, join(src, dirname(file), name)));

    for (const target of targets) {
      expect(layers.indexOf(layerOf(target) ?? ""), `${file} imports ${target}`).toBeGreaterThanOrEqual(own);
    }
  });

  test("every file has a room, but the library's entries", () => {
    expect(files.filter((file) => layerOf(file) === undefined)).toEqual(["hono.ts", "index.ts"]);
  });

  test("the library's entries leave command line and server alone", () => {
    const entries = sources.filter(({ file }) => file === "index.ts" || file === "hono.ts");
    const names = entries.flatMap(({ imports }) => imports);

    expect(names.filter((name) => /^\.\/(cli|server)\//.test(name))).toEqual([]);
  });

  test("the library loads no web framework: a host brings its own", () => {
    const packages = [...loadedAtStart("index.ts"), ...loadedAtStart("hono.ts")];

    expect(packages.filter((name) => /hono|modelcontextprotocol/.test(name))).toEqual([]);
  });

  test("domain reaches nothing outside of itself but node:crypto and canonicalize", () => {
    // canonicalize (RFC 8785) is one pure function.
    const pure = ["node:crypto", "canonicalize"];
    const outside = sources
      .filter(({ file }) => layerOf(file) === "domain")
      .flatMap(({ imports }) => imports.filter((name) => !name.startsWith(".") && !pure.includes(name)));

    expect(outside).toEqual([]);
  });

  test("domain has no clock and no chance", () => {
    const impure = filesWith(
      (node, file) =>
        layerOf(file) === "domain" &&
        ((ts.isPropertyAccessExpression(node) &&
          /^(Date\.now|Math\.random|performance\.now|process\..*)$/.test(node.getText())) ||
          (ts.isNewExpression(node) &&
            node.expression.getText() === "Date" &&
            (node.arguments?.length ?? 0) === 0) ||
          (ts.isIdentifier(node) && /^random(Bytes|UUID|Int)$/.test(node.text))),
    );

    expect(impure).toEqual([]);
  });
});

describe("each thing has one place", () => {
  test("SQL is written in repository and db alone", () => {
    const isStatement = (node: ts.Node): boolean =>
      ts.isCallExpression(node) &&
      ts.isPropertyAccessExpression(node.expression) &&
      /^(query|script|unsafe)$/.test(node.expression.name.text) &&
      node.arguments[0] !== undefined &&
      (ts.isStringLiteralLike(node.arguments[0]) || ts.isTemplateExpression(node.arguments[0]));
    const isReadOrWrite = (node: ts.Node): boolean =>
      (ts.isStringLiteralLike(node) || ts.isTemplateExpression(node)) &&
      /^\s*(SELECT\s.+\sFROM|INSERT INTO|UPDATE\s.+\sSET|DELETE FROM|WITH\s.+\sAS\s*\()\s/s.test(
        node.getText().slice(1),
      );
    const withSql = filesWith(
      (node, file) =>
        !["repository", "db"].includes(layerOf(file) ?? "") && (isStatement(node) || isReadOrWrite(node)),
    );

    expect(withSql).toEqual([]);
  });

  test("the process is ended in cli/exit.ts alone", () => {
    const ends = filesWith(
      (node) =>
        ts.isPropertyAccessExpression(node) && /^process\.(exit|exitCode|abort|kill)$/.test(node.getText()),
    );

    // The engine signals its own server, and a command that an operator named is ended when its time is up.
    const others = ends.filter((file) => !file.startsWith("db/engine/") && file !== "cli/command.ts");
    expect(others).toEqual(["cli/exit.ts"]);
  });

  test("nothing is written to the console", () => {
    const speaks = filesWith(
      (node) => ts.isPropertyAccessExpression(node) && /^console\./.test(node.getText()),
    );

    expect(speaks).toEqual([]);
  });

  test("stdin, stdout and stderr are touched in cli/terminal.ts, and lent to the prompts and to MCP", () => {
    const touches = filesWith(
      (node) =>
        ts.isPropertyAccessExpression(node) && /^process\.(stdin|stdout|stderr)$/.test(node.getText()),
    );

    expect(touches).toEqual(["cli/prompts.ts", "cli/terminal.ts", "cli/verbs/mcp.ts"]);
  });

  test.each([
    ["commander", ["cli/parse.ts"]],
    ["chalk", ["cli/paint.ts"]],
    ["cli-table3", ["cli/table.ts"]],
    ["@inquirer/prompts", ["cli/prompts.ts"]],
    ["canonicalize", ["domain/canonical.ts"]],
  ])("%s is used in %j", (name, where) => {
    expect(sources.filter(({ imports }) => imports.includes(name)).map(({ file }) => file)).toEqual(where);
  });

  test("what every command loads at once is its parser and its judge; the rest waits until it is needed", () => {
    const packages = loadedAtStart("cli/main.ts").filter((name) => !name.startsWith("node:"));

    expect([...new Set(packages)].sort()).toEqual(["commander", "zod/mini"]);
  });
});

/** Packages that importing this file brings in at once, following static imports of values. */
function loadedAtStart(file: string, seen = new Set<string>()): string[] {
  if (seen.has(file)) return [];
  seen.add(file);
  const source = sources.find((each) => each.file === file);
  const statements = source?.tree.statements ?? [];
  return statements.flatMap((statement) => {
    const { moduleSpecifier, isType } = importOf(statement);
    if (moduleSpecifier === undefined || isType) return [];
    if (!moduleSpecifier.startsWith(".")) return [moduleSpecifier];
    return loadedAtStart(relative(src, join(src, dirname(file), moduleSpecifier)), seen);
  });
}

function importOf(statement: ts.Statement): { moduleSpecifier?: string; isType: boolean } {
  if (!ts.isImportDeclaration(statement) || !ts.isStringLiteral(statement.moduleSpecifier))
    return { isType: true };
  const clause = statement.importClause;
  const bindings = clause?.namedBindings;
  const onlyTypes =
    clause?.isTypeOnly === true ||
    (bindings !== undefined &&
      ts.isNamedImports(bindings) &&
      bindings.elements.every((element) => element.isTypeOnly));
  return { moduleSpecifier: statement.moduleSpecifier.text, isType: onlyTypes };
}

test("a command's file bears its name, in verbs and in the registry", () => {
  const listed = registry.map(({ path }) => `${path.replaceAll(" ", "-")}.ts`).sort();

  expect(readdirSync(join(src, "cli/verbs")).sort()).toEqual(listed);
});

test("files stay short enough to be read in one go", () => {
  const long = files.filter((file) => statSync(join(src, file)).isFile() && lineCount(file) > 350);

  expect(long).toEqual([]);
});

function lineCount(file: string): number {
  return readFileSync(join(src, file), "utf8").split("\n").length;
}
