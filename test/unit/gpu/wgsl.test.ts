/** Linking of kernels and fragments, and the interface that is read back from the text. */
import { describe, expect, test } from "vitest";
import { UsageError } from "../../../src/errors.ts";
import { link, packFields, structFields } from "../../../src/gpu/wgsl.ts";

const KERNEL = `struct Params { rows: u32, eps: f32, cols: u32, gain: f32, last: u32 }
struct Step { pos: u32, tokens: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
fn main() { out[0] = load(0u) + f32(step.pos); }`;
const READER = `@group(0) @binding(0) var<storage, read> data: array<f32>;
fn load(index: u32) -> f32 { return data[index] + reader_base; } // load data`;

describe("link", () => {
  test("numbers bindings anew, in order of the text, with their types", () => {
    const { text, bindings } = link(KERNEL, [{ text: READER }]);
    expect(bindings).toEqual([
      { name: "params", index: 0, type: "uniform" },
      { name: "step", index: 1, type: "uniform" },
      { name: "x", index: 2, type: "read-only-storage" },
      { name: "out", index: 3, type: "storage" },
      { name: "data", index: 4, type: "read-only-storage" },
    ]);
    for (const { name, index } of bindings)
      expect(text).toMatch(new RegExp(`@binding\\(${index}\\) var<[^>]*> ${name}\\b`));
  });

  test("renames whole identifiers of one fragment and of no other text", () => {
    const second = { text: READER, rename: { load: "load_1", data: "data_1" } };
    const { text, bindings } = link(KERNEL, [{ text: READER }, second]);
    expect(bindings.map(({ name }) => name)).toEqual(["params", "step", "x", "out", "data", "data_1"]);
    expect(text).toContain("reader_base; } // load_1 data_1"); // no parser: comments are renamed with the rest
    expect(text).toContain("fn load_1(index: u32) -> f32 { return data_1[index] + reader_base; }");
    expect(text).toContain("fn load(index: u32) -> f32 { return data[index] + reader_base; }");
    expect(text).toContain("out[0] = load(0u)");
  });

  test("joins once what several fragments bring along", () => {
    const helper = { text: "fn helper() -> u32 { return 1u; }" };
    const { text } = link(KERNEL, [helper, { text: READER }, helper, { ...helper, rename: { helper: "helper_1" } }]);
    expect(text.match(/fn helper\w*/g)).toEqual(["fn helper", "fn helper_1"]);
  });

  test("keeps everything else of the text", () => {
    const { text } = link(KERNEL, [{ text: "// nothing here" }]);
    expect(text).toBe(`${KERNEL}\n// nothing here`);
  });

  test("a kernel without bindings or params has none", () => {
    expect(link("fn main() {}", [])).toEqual({ text: "fn main() {}", bindings: [], params: [] });
  });
});

describe("fields", () => {
  test("are read in order, four bytes each", () => {
    expect(link(KERNEL, []).params).toEqual([
      { name: "rows", type: "u32", offset: 0 },
      { name: "eps", type: "f32", offset: 4 },
      { name: "cols", type: "u32", offset: 8 },
      { name: "gain", type: "f32", offset: 12 },
      { name: "last", type: "u32", offset: 16 },
    ]);
    expect(structFields(KERNEL, "Step").map(({ name }) => name)).toEqual(["pos", "tokens"]);
    expect(structFields("struct Long {\n  a: u32,\n  b: f32,\n}", "Long").map(({ name }) => name)).toEqual(["a", "b"]);
    expect(structFields(KERNEL, "Missing")).toEqual([]);
  });

  test.each(["a: vec4f", "a: array<u32, 4>", "@align(16) a: u32", "a: i32"])("%s is refused", (field) => {
    expect(() => structFields(`struct Params { n: u32, ${field} }`, "Params")).toThrow(UsageError);
  });

  test("pack to little-endian words, padded to 16 bytes", () => {
    const bytes = packFields(link(KERNEL, []).params, { last: 5, gain: -0.5, cols: 2 ** 32 - 1, eps: 1.5, rows: 7 });
    expect(bytes.byteLength).toBe(32);
    const view = new DataView(bytes);
    expect([0, 8, 16].map((at) => view.getUint32(at, true))).toEqual([7, 2 ** 32 - 1, 5]);
    expect([4, 12].map((at) => view.getFloat32(at, true))).toEqual([1.5, -0.5]);
    expect([20, 24, 28].map((at) => view.getUint32(at, true))).toEqual([0, 0, 0]);
    expect(packFields([], {}).byteLength).toBe(16);
  });

  test("a missing and an extra value are named", () => {
    const fields = structFields(KERNEL, "Step");
    expect(() => packFields(fields, { pos: 1 })).toThrow(/"tokens"/);
    expect(() => packFields(fields, { pos: 1, tokens: 2, token: 3 })).toThrow(/"token"/);
    expect(() => packFields(fields, { pos: 1 })).toThrow(UsageError);
  });
});
