/** The reference's readers on small files built by hand: every storage type, at an odd address in its buffer. */
import { expect, test } from "vitest";
import { loadGguf, loadSafetensors } from "../../reference/load.ts";

const utf8 = (text: string): number[] => [...new TextEncoder().encode(text)];
const little = (value: number, numBytes: number): number[] =>
  Array.from({ length: numBytes }, (_, i) => Math.floor(value / 256 ** i) % 256);
const f32 = (value: number): number[] => [...new Uint8Array(Float32Array.of(value).buffer)];

/** The bytes one past the start of a larger buffer. */
function unaligned(bytes: readonly number[]): Uint8Array {
  return Uint8Array.from([7, ...bytes, 7]).subarray(1, bytes.length + 1);
}

test("safetensors: F32, F16, BF16, and metadata skipped", () => {
  const halves = [0x3c00, 0xc000, 0x0001, 0x83ff, 0x7bff, 0xfc00, 0x8000]; // 1, -2, subnormals, largest, -inf, -0
  const bfloats = [0x3f80, 0xc049, 0x0001];
  const data = [...f32(1.5), ...halves.flatMap((h) => little(h, 2)), ...bfloats.flatMap((b) => little(b, 2))];
  const header = utf8(
    JSON.stringify({
      __metadata__: { format: "pt" },
      a: { dtype: "F32", shape: [], data_offsets: [0, 4] },
      b: { dtype: "F16", shape: [7, 1], data_offsets: [4, 18] },
      c: { dtype: "BF16", shape: [3], data_offsets: [18, 24] },
    }),
  );
  const file = unaligned([...little(header.length, 8), ...header, ...data]);
  const { config, tensors } = loadSafetensors(unaligned(utf8('{"x":1}')), file);
  expect(config).toEqual({ x: 1 });
  expect([...tensors.keys()]).toEqual(["a", "b", "c"]);
  expect([...tensors.get("a")!.data]).toEqual([1.5]);
  expect([...tensors.get("b")!.data]).toEqual([1, -2, 2 ** -24, -1023 * 2 ** -24, 65504, -Infinity, -0]);
  expect([...tensors.get("c")!.data]).toEqual([1, -3.140625, 2 ** -133]);
  expect(tensors.get("b")!.shape).toEqual([7, 1]);
});

test("GGUF: metadata of every kind, alignment, Q8_0 blocks, dimensions reversed", () => {
  const text = (s: string) => [...little(utf8(s).length, 8), ...utf8(s)];
  const entry = (key: string, type: number, value: number[]) => [...text(key), ...little(type, 4), ...value];
  const tensor = (name: string, dims: number[], type: number, offset: number) =>
    [text(name), little(dims.length, 4), ...dims.map((d) => little(d, 8)), little(type, 4), little(offset, 8)].flat();
  const head = [
    ...utf8("GGUF"),
    ...little(3, 4),
    ...little(3, 8),
    ...little(6, 8),
    ...entry("general.alignment", 4, little(64, 4)),
    ...entry("flags", 9, [...little(7, 4), ...little(2, 8), 1, 0]),
    ...entry("words", 9, [...little(8, 4), ...little(2, 8), ...text("a"), ...text("é")]),
    ...entry("real", 6, f32(0.5)),
    ...entry("minus", 5, [0xfe, 0xff, 0xff, 0xff]),
    ...entry("big", 10, little(2 ** 40, 8)),
    ...tensor("q", [32, 2], 8, 0),
    ...tensor("h", [1, 2], 1, 128),
    ...tensor("b", [1], 30, 192),
  ];
  const padding = new Array<number>((64 - (head.length % 64)) % 64).fill(0);
  const block = (scale: number, first: number) => [
    ...little(scale, 2),
    ...Array.from({ length: 32 }, (_, i) => (first + i) & 255),
  ];
  const data = [
    ...block(0x3800, -128),
    ...block(0xbc00, 96),
    ...new Array<number>(60).fill(0), // 0.5 and -1
    ...little(0x4200, 2),
    ...little(0, 2),
    ...new Array<number>(60).fill(0),
    ...little(0x4040, 2),
  ];
  const { config, tensors } = loadGguf(unaligned([...head, ...padding, ...data]));
  expect(config).toMatchObject({ flags: [true, false], words: ["a", "é"], real: 0.5, minus: -2, big: 2 ** 40 });
  expect(tensors.get("q")!.shape).toEqual([2, 32]);
  expect([...tensors.get("q")!.data]).toEqual(
    Array.from({ length: 64 }, (_, i) => (i < 32 ? 0.5 * (i - 128) : -(96 + i - 32))),
  );
  expect([...tensors.get("h")!.data]).toEqual([3, 0]);
  expect([...tensors.get("b")!.data]).toEqual([3]);
});
