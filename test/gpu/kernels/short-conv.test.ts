import { describe, expect, test } from "vitest";
import type { DType } from "../../../src/formats/dtype.ts";
import { type ShortConvSite, shortConvDecode, shortConvPrefill } from "../../../src/kernels/short-conv.ts";
import { shortConv } from "../../reference/short-conv.ts";
import { inRows, normals, type RandomMatrix, randomMatrix, untouched, useBench, written } from "./harness.ts";

const bench = useBench();

interface Case {
  readonly channels: number;
  readonly kernel: number;
  readonly dtype?: DType;
}

/** A convolution of random taps over a random timeline, and what the reference makes of it. */
function timeline({ channels, kernel, dtype = "F32" }: Case, numTokens: number) {
  const taps = randomMatrix(bench.random, dtype, channels, kernel);
  const bcx = normals(bench.random, numTokens * 3 * channels);
  return { channels, kernel, taps, bcx, expected: shortConv({ bcx, taps: taps.values, channels }) };
}

type Timeline = ReturnType<typeof timeline>;

const bcxStride = (channels: number) => 3 * channels + 5;
const outStride = (channels: number) => channels + 3;

/** A site for `tokens` tokens from `pos`, over a ring that holds the products of the positions before. */
function siteOf({ channels, kernel, taps, bcx, expected }: Timeline, pos: number, tokens: number, capacity: number) {
  const ring = new Float32Array(capacity * channels).fill(1e4); // a row that must not be read would show
  for (let p = 0; p < pos; p++) {
    ring.set(expected.products.slice(p * channels, (p + 1) * channels), (p % capacity) * channels);
  }
  const own = bcx.slice(pos * 3 * channels, (pos + tokens) * 3 * channels);
  const site: ShortConvSite = {
    taps: bench.matrix(taps satisfies RandomMatrix),
    kernel,
    ring: { buffer: bench.floats(ring), capacity },
    bcx: bench.floats(inRows(own, 3 * channels, bcxStride(channels), 0, 1e4)),
    bcxStride: bcxStride(channels),
    out: bench.canaries(tokens * outStride(channels)),
    outStride: outStride(channels),
    step: bench.step(pos, tokens),
  };
  return { site, before: ring };
}

/** Expects the rows of the positions from `pos` in the ring to be their products, and all others as they were. */
function expectRing(after: Float32Array, before: Float32Array, at: Timeline, pos: number, tokens: number): void {
  const { channels, expected } = at;
  const capacity = before.length / channels;
  const rest = before.slice();
  for (let p = pos; p < pos + tokens; p++) {
    const row = (p % capacity) * channels;
    const own = after.subarray(row, row + channels);
    bench.agrees(own, expected.products.subarray(p * channels, (p + 1) * channels), "ring", 1);
    rest.set(own, row);
  }
  expect(after.subarray(0, rest.length)).toEqual(rest);
}

/** Prefills `tokens` tokens from `pos`; the outputs [tokens, channels]. */
async function prefill(at: Timeline, pos: number, tokens: number, capacity: number): Promise<Float32Array> {
  const { site, before } = siteOf(at, pos, tokens, capacity);
  const commands = shortConvPrefill(bench.host(), site).map((command) => command(tokens));
  const [out, ring] = await bench.run(commands, site.out, site.ring.buffer);
  expectRing(ring!, before, at, pos, tokens);
  return written(out!, { rows: tokens, cols: at.channels, stride: outStride(at.channels) });
}

async function decode(at: Timeline, pos: number, capacity: number, times = 1): Promise<Float32Array> {
  const { site, before } = siteOf(at, pos, 1, capacity);
  const command = shortConvDecode(bench.host(), site);
  const [out, ring] = await bench.run(Array<typeof command>(times).fill(command), site.out, site.ring.buffer);
  expectRing(ring!, before, at, pos, 1);
  return written(out!, { rows: 1, cols: at.channels, stride: outStride(at.channels) });
}

const CASES: readonly Case[] = [
  { channels: 1, kernel: 1 },
  { channels: 70, kernel: 2 },
  { channels: 64, kernel: 3 },
  { channels: 129, kernel: 4, dtype: "F16" },
  { channels: 33, kernel: 9, dtype: "BF16" },
];

describe.each(CASES)("$channels channels, $kernel taps", (sizes) => {
  const rowsOf = ({ expected, channels }: Timeline, pos: number, tokens: number) =>
    expected.out.subarray(pos * channels, (pos + tokens) * channels);

  test.each([
    [0, 5, 20],
    [1, 3, 4],
    [20, 6, 14],
    [31, 1, 9],
  ])("prefill from %i, %i tokens, a ring of %i", async (pos, tokens, capacity) => {
    const at = timeline(sizes, pos + tokens);
    bench.agrees(
      await prefill(at, pos, tokens, Math.max(capacity, sizes.kernel - 1 + tokens)),
      rowsOf(at, pos, tokens),
    );
  });

  test.each([0, 1, 7, 40])("decode at %i", async (pos) => {
    const at = timeline(sizes, pos + 1);
    const size = 1;
    for (const capacity of [sizes.kernel, sizes.kernel + 6, 50]) {
      bench.agrees(await decode(at, pos, capacity), rowsOf(at, pos, 1), `capacity ${capacity}`, size);
    }
  });

  test("a token's bits are the same in one chunk, in two and alone, and when a step runs twice", async () => {
    const at = timeline(sizes, 17);
    const { channels, kernel } = sizes;
    const whole = await prefill(at, 0, 17, kernel + 30);
    // The reference's products go into the ring rounded to float32, as the kernel rounds them.
    expect(await prefill(at, 0, 6, kernel + 30)).toEqual(whole.slice(0, 6 * channels));
    expect(await prefill(at, 6, 11, kernel + 10)).toEqual(whole.slice(6 * channels));
    expect(await prefill(at, 9, 1, kernel)).toEqual(whole.slice(9 * channels, 10 * channels));
    expect(await decode(at, 9, kernel + 2, 2)).toEqual(await decode(at, 9, kernel + 2));
  });
});

test("no token writes nothing", async () => {
  const at = timeline({ channels: 5, kernel: 3 }, 1);
  const { site } = siteOf(at, 0, 1, 4);
  const commands = shortConvPrefill(bench.host(), site).map((command) => command(0));
  untouched(await bench.result(commands, site.out));
});
