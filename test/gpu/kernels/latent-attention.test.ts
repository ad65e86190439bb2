/** Latents into the cache and attention over them, against keys and values made of them head by head. */
import { describe, expect, test } from "vitest";
import { UnsupportedError } from "../../../src/errors.ts";
import { latentAttention } from "../../../src/kernels/latent-attention.ts";
import { latentWrite } from "../../../src/kernels/latent-write.ts";
import { type Latents, MAX_RANK } from "../../../src/kernels/latents.ts";
import * as reference from "../../reference/latent-attention.ts";
import { rmsNorm } from "../../reference/norm.ts";
import { CANARY, normals, useBench, written } from "./harness.ts";

const bench = useBench();
const EPS = 1e-5;

interface Case {
  readonly numHeads: number;
  readonly plainDim: number;
  readonly ropeDims: number;
  readonly rank: number;
  /** Tokens of two steps: what the first leaves in the cache, the second finds. */
  readonly before: number;
  readonly tokens: number;
  readonly interleaved: boolean;
  /** Elements of a compressed query in front of the latents; 0 for none. */
  readonly queryRank: number;
}

const angles = (ropeDims: number) => (position: number) =>
  Array.from({ length: ropeDims / 2 }, (_, j) => position * 100 ** ((-2 * j) / ropeDims));

/** (cos, sin) of positions from `first`, as the kernels take them. */
function table(ropeDims: number, first: number, count: number, size: number): number[] {
  return Array.from({ length: count }, (_, t) => angles(ropeDims)(first + t)).flatMap((row) =>
    row.flatMap((angle) => [Math.cos(angle) * size, Math.sin(angle) * size]),
  );
}

/** Queries of plain heads in the space of the latents [T, H, rank], and outputs from there: `kvUp` by definition. */
async function compare(at: Case): Promise<void> {
  const { random } = bench;
  const { numHeads, plainDim, ropeDims, rank, before, tokens, interleaved, queryRank } = at;
  const valueDim = rank; // and the values' part the identity, so that outputs are what was attended to
  const count = before + tokens;
  const [width, headDim, keyWidth] = [rank + ropeDims, plainDim + ropeDims, Math.ceil((rank + ropeDims) / 4) * 4];
  const [size, scale] = [1.25, 0.3];
  const kUp = normals(random, numHeads * plainDim * rank, 1 / Math.sqrt(rank));
  const q = normals(random, count * numHeads * headDim);
  const rows = normals(random, count * width, 2);
  const gain = normals(random, rank);
  const kvUp = new Float32Array(numHeads * (plainDim + rank) * rank); // [H, plain + r, r]
  for (let head = 0; head < numHeads; head++) {
    const own = head * (plainDim + rank) * rank;
    kvUp.set(kUp.subarray(head * plainDim * rank, (head + 1) * plainDim * rank), own);
    for (let c = 0; c < rank; c++) kvUp[own + (plainDim + c) * rank + c] = 1;
  }
  const turns = { angles: angles(ropeDims), isInterleaved: interleaved, size };
  const sizes = { numHeads, plainDim, ropeDims, valueDim, rank };
  const expected = reference.latentAttention({ ...sizes, ...turns, q, rows, gain, eps: EPS, kvUp, scale });
  const absorbed = reference.headProducts({
    x: Float64Array.from({ length: count * numHeads * plainDim }, (_, i) => {
      return q[Math.floor(i / plainDim) * headDim + (i % plainDim)]!;
    }),
    weights: kUp,
    numHeads,
    rowStride: plainDim,
    firstRow: 0,
    numRows: plainDim,
    cols: rank,
    outputs: "columns",
  }); // [n, H, r]

  const capacity = count + 3;
  const cache = bench.canaries(capacity * keyWidth);
  const queryGain = normals(random, queryRank);
  const [latentAt, stride] = [queryRank + 2, queryRank + 2 + width + 1];
  for (const [first, length] of [
    [0, before],
    [before, tokens],
  ] as const) {
    const rope = bench.floats(table(ropeDims, first, length, size));
    const latents: Latents = { rank, ropeDims, rope, interleaved, cache, capacity };
    const step = bench.step(first, length);
    const compressed = normals(random, length * queryRank);
    const row = new Float32Array(length * stride).fill(CANARY);
    for (let t = 0; t < length; t++) {
      row.set(compressed.subarray(t * queryRank, (t + 1) * queryRank), t * stride);
      row.set(rows.subarray((first + t) * width, (first + t + 1) * width), t * stride + latentAt);
    }
    const rowBuffer = bench.floats(row);
    const query = queryRank > 0 ? { cols: queryRank, gain: bench.floats(queryGain) } : undefined;
    const site = { latents, row: rowBuffer, stride, latentAt, gain: bench.floats(gain), query, eps: EPS, step };
    const headsStride = numHeads * rank + 5;
    const heads = new Float32Array(length * headsStride).fill(CANARY);
    for (let t = 0; t < length; t++) {
      const from = (first + t) * numHeads * rank;
      heads.set(absorbed.slice(from, from + numHeads * rank), t * headsStride);
    }
    const headsBuffer = bench.floats(heads);
    const own = bench.floats(q.subarray(first * numHeads * headDim, (first + length) * numHeads * headDim));
    const rotated = { buffer: own, at: plainDim, stride: headDim, tokenStride: numHeads * headDim };
    const attend = { latents, numHeads, rotated, heads: headsBuffer, headsStride, scale, step };
    const commands = [latentWrite(bench.host(), site)(length), latentAttention(bench.host(), attend)(length)];
    const [out, kept, rowAfter] = await bench.run(commands, headsBuffer, cache, rowBuffer);
    const region = { rows: length, cols: numHeads * rank, stride: headsStride };
    const from = first * numHeads * rank;
    const wanted = expected.out.subarray(from, from + length * numHeads * rank);
    bench.agrees(written(out!.subarray(0, length * headsStride), region), wanted, "out");
    const inCache = written(kept!, { rows: first + length, cols: keyWidth });
    for (let t = 0; t < first + length; t++) {
      const own = inCache.subarray(t * keyWidth, (t + 1) * keyWidth);
      bench.agrees(own.subarray(0, width), expected.cached.subarray(t * width, (t + 1) * width), "cached");
      expect(own.subarray(width).every((value) => value === 0)).toBe(true);
    }
    for (let t = 0; t < length && queryRank > 0; t++) {
      const normed = rmsNorm(compressed.subarray(t * queryRank, (t + 1) * queryRank), queryGain, EPS);
      bench.agrees(rowAfter!.subarray(t * stride, t * stride + queryRank), normed, "compressed query");
      const behind = rowAfter!.subarray(t * stride + latentAt, t * stride + latentAt + width);
      expect(behind).toEqual(rows.subarray((first + t) * width, (first + t + 1) * width)); // as it was
    }
  }
}

const SMALL = { numHeads: 3, plainDim: 5, ropeDims: 6, rank: 13, interleaved: true, queryRank: 0 };

describe.each([true, false])("neighbours turn: %s", (interleaved) => {
  test.each([
    { numHeads: 1, plainDim: 1, ropeDims: 2, rank: 1, before: 0, tokens: 1, queryRank: 1 },
    { ...SMALL, before: 5, tokens: 1 },
    { ...SMALL, before: 70, tokens: 9, queryRank: 10 },
    { ...SMALL, rank: 64, ropeDims: 16, before: 0, tokens: 66, queryRank: 130 },
    { ...SMALL, rank: 257, before: 2, tokens: 2 },
  ])("$numHeads heads, latents of $rank + $ropeDims, $before and $tokens tokens, query of $queryRank", (at) => {
    return compare({ ...at, interleaved });
  });

  test("a random case", () => {
    const { random } = bench;
    const dims = { plainDim: random.int(1, 20), ropeDims: 2 * random.int(1, 9), rank: random.int(1, 150) };
    const counts = { before: random.int(1, 150), tokens: random.int(1, 20), queryRank: random.int(0, 40) };
    return compare({ numHeads: random.int(1, 5), ...dims, ...counts, interleaved });
  });
});

test("a latent as wide as DeepSeek's, over more keys than a tile has", () => {
  const sizes = { numHeads: 1, plainDim: 8, ropeDims: 64, rank: 512, before: 129, tokens: 1 };
  return compare({ ...sizes, queryRank: 0, interleaved: true });
});

test("wider latents than a workgroup can take are refused", () => {
  const buffer = bench.canaries(64);
  const latents = { rank: MAX_RANK + 1, ropeDims: 2, rope: buffer, interleaved: true, cache: buffer, capacity: 1 };
  const rotated = { buffer, at: 0, stride: 2, tokenStride: 2 };
  const site = { latents, numHeads: 1, rotated, heads: buffer, headsStride: 4, scale: 1, step: bench.step(0, 1) };
  expect(() => latentAttention(bench.host(), site)).toThrow(UnsupportedError);
});
