import { describe, expect, test } from "vitest";
import { checkImports } from "../../../scripts/check-imports.mjs";

const check = (files: Record<string, string>) => checkImports(new Map(Object.entries(files)));

describe("import direction", () => {
  test("an arrow down is fine, directly or over several floors", () => {
    expect(check({ "src/engine/a.ts": 'import { x } from "../kernels/b.ts";' })).toEqual([]);
    expect(check({ "src/generate/a.ts": 'import { x } from "../sources/b.ts";' })).toEqual([]);
    expect(check({ "src/kernels/a.ts": 'import text from "../../shaders/b.wgsl?raw";' })).toEqual([]);
  });

  test.each([
    ["up", "src/kernels/a.ts", "../engine/b.ts"],
    ["sideways", "src/pager/a.ts", "../kernels/b.ts"],
    ["demo past the public surface", "demo/a.ts", "../src/client/model.ts"],
    ["engine to client", "src/engine/a.ts", "../client/types.ts"],
    ["client to engine", "src/client/a.ts", "../engine/b.ts"],
  ])("%s is caught", (_name, path, specifier) => {
    const statements = [`import "${specifier}";`, `import { x } from "${specifier}";`, `export * from "${specifier}";`];
    for (const statement of [...statements, `await import("${specifier}");`]) {
      expect(check({ [path]: statement })).toHaveLength(1);
    }
  });

  test("what crosses the worker border may be imported as a type, not as a value", () => {
    expect(check({ "workers/a.ts": 'import type { X } from "../src/client/types.ts";' })).toEqual([]);
    expect(check({ "workers/a.ts": 'import { type X } from "../src/client/types.ts";' })).toEqual([]);
    expect(check({ "workers/a.ts": 'import { x } from "../src/client/types.ts";' })).toHaveLength(1);
    expect(check({ "src/client/a.ts": 'import type { X } from "../models/spec.ts";' })).toEqual([]);
    expect(check({ "src/client/a.ts": 'import { x } from "../models/spec.ts";' })).toHaveLength(1);
  });

  test("a folder without a line in the table is caught", () => {
    expect(check({ "src/helpers/a.ts": "export {};" })).toHaveLength(1);
  });

  test("a cycle is caught, and named once", () => {
    const files = {
      "src/util/a.ts": 'import "./b.ts";',
      "src/util/b.ts": 'import "./c.ts";',
      "src/util/c.ts": 'import "./a.ts";',
    };
    expect(check(files)).toEqual(["import cycle: src/util/a.ts → src/util/b.ts → src/util/c.ts → src/util/a.ts"]);
  });
});

describe("words", () => {
  test("GPUDevice belongs to src/gpu; a comment may say it", () => {
    const text = "export function f(device: GPUDevice) {}";
    expect(check({ "src/gpu/a.ts": text })).toEqual([]);
    expect(check({ "src/engine/a.ts": text })).toHaveLength(1);
    expect(check({ "workers/a.ts": text })).toHaveLength(1);
    expect(check({ "src/engine/a.ts": "// needs a GPUDevice" })).toEqual([]);
  });

  test.each(["navigator.gpu", "window.location", "self.postMessage", "typeof window"])(
    "%s is for workers and pages",
    (use) => {
      expect(check({ "workers/a.ts": `f(${use});` })).toEqual([]);
      expect(check({ "src/engine/a.ts": `f(${use});` })).toHaveLength(1);
      expect(check({ "src/gpu/a.ts": `f(${use});` })).toHaveLength(1);
    },
  );

  test("the attention window is not the page's", () => {
    expect(check({ "src/engine/a.ts": "const { window } = spec.attention; f(window, spec.window.size);" })).toEqual([]);
    expect(check({ "src/formats/a.ts": "const window = await read(); f(window.bytes);" })).toEqual([]);
  });
});
