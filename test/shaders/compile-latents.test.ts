/**
 * The kernels of latent attention and of experts in groups: each choice of fragments compiles within the default limits,
 * at the sizes of the published models, from every storage type.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { create } from "webgpu";
import { BLOCKS, type DType } from "../../src/formats/dtype.ts";
import { type Gpu, openGpu } from "../../src/gpu/device.ts";
import type { LedgerBuffer } from "../../src/gpu/ledger.ts";
import type { Command } from "../../src/gpu/queue.ts";
import { STORAGE_USAGE, UNIFORM_USAGE } from "../../src/gpu/usage.ts";
import { headMatmul } from "../../src/kernels/head-matmul.ts";
import type { HeadRows } from "../../src/kernels/head-matrix.ts";
import { headMatvec } from "../../src/kernels/head-matvec.ts";
import { KernelHost } from "../../src/kernels/kernel.ts";
import { latentAttention } from "../../src/kernels/latent-attention.ts";
import { latentWrite } from "../../src/kernels/latent-write.ts";
import type { Latents } from "../../src/kernels/latents.ts";
import { router } from "../../src/kernels/router.ts";
import { type WatchedGpu, watchGpu } from "../gpu/kernels/watched-gpu.ts";

const DTYPES = Object.keys(BLOCKS) as DType[];

let watched: WatchedGpu;
let gpu: Gpu;
let host: KernelHost;

beforeAll(async () => {
  watched = watchGpu(create(["backend=null"]));
  gpu = await openGpu(watched.gpu, { stockLimits: true });
  host = new KernelHost(gpu, { lanes: 32, rows: 4 });
});
afterAll(() => {
  gpu.destroy();
  expect(watched.errors).toEqual([]);
});

const buffer = (): LedgerBuffer => gpu.ledger.create("scratch", "test", 16 * 1024, STORAGE_USAGE);
const uniform = (): LedgerBuffer => gpu.ledger.create("scratch", "test", 32, UNIFORM_USAGE);

/** Validates and submits `commands`, and expects `count` pipelines for them. */
async function compiles(count: number, commands: () => Command[]): Promise<void> {
  const before = watched.pipelines();
  const recorded = commands();
  await gpu.pipelines.settled();
  gpu.queue.submit(recorded);
  await gpu.queue.submitAndRead([], [{ buffer: buffer(), offset: 0, bytes: 16 }]); // errors have surfaced after it
  expect(watched.errors).toEqual([]);
  expect(watched.pipelines() - before).toBe(count);
}

interface Model {
  readonly name: string;
  readonly numHeads: number;
  readonly rank: number;
  readonly ropeDims: number;
  /** Elements of a head's key that do not turn, and of its value. */
  readonly plainDim: number;
  readonly valueDim: number;
  readonly queryRank: number | undefined;
}

const DIMS = { rank: 512, ropeDims: 64, plainDim: 128, valueDim: 128 };
const V2_LITE: Model = { name: "DeepSeek-V2-Lite", numHeads: 16, ...DIMS, queryRank: undefined };
const V3: Model = { name: "DeepSeek-V3", numHeads: 128, ...DIMS, queryRank: 1536 };
/** The widest that is taken. */
const WIDEST: Model = { name: "the widest", numHeads: 1, ...DIMS, rank: 1024, ropeDims: 1024, queryRank: 3 };

const latentsOf = ({ rank, ropeDims }: Model, interleaved: boolean): Latents => {
  return { rank, ropeDims, rope: buffer(), interleaved, cache: buffer(), capacity: 4 };
};

/** The cache write and the attention of one token and of many. */
function attend(model: Model, interleaved: boolean): Command[] {
  const { numHeads, rank, plainDim, ropeDims, queryRank } = model;
  const latents = latentsOf(model, interleaved);
  const query = queryRank === undefined ? undefined : { cols: queryRank, gain: buffer() };
  const latentAt = queryRank ?? 0;
  const row = { row: buffer(), stride: latentAt + rank + ropeDims, latentAt };
  const write = latentWrite(host, { latents, ...row, gain: buffer(), query, eps: 1e-6, step: uniform() });
  const stride = plainDim + ropeDims;
  const rotated = { buffer: buffer(), at: plainDim, stride, tokenStride: numHeads * stride };
  const heads = { numHeads, heads: buffer(), headsStride: numHeads * rank };
  const over = latentAttention(host, { latents, rotated, ...heads, scale: 1, step: uniform() });
  return [1, 128].flatMap((tokens) => [write(tokens), over(tokens)]);
}

describe("attention", () => {
  test.each([
    { ...V2_LITE, pipelines: 2 },
    { ...V3, pipelines: 1 }, // the attention of V2-Lite, and a write with a compressed query
    { ...WIDEST, pipelines: 1 }, // the write of V3, and attention in larger workgroups
  ])("$name", ({ pipelines, ...model }) => compiles(pipelines, () => attend(model, true)));

  test("halves that turn, with and without a compressed query", () =>
    compiles(3, () => [...attend(V2_LITE, false), ...attend(V3, false)]));
});

describe.each([V2_LITE, V3])("heads of $name", ({ numHeads, rank, plainDim, valueDim }) => {
  const rowStride = plainDim + valueDim;
  const parts = (dtype: DType): HeadRows[] => {
    const matrix = (rows: number, cols: number) => ({ dtype, rows, quadsPerRow: cols / 4, buffer: buffer() });
    const joint = { matrix: matrix(numHeads * rowStride, rank), numHeads, rowStride, numCols: rank };
    const rows = { numHeads, firstRow: 0, outputs: "rows" } as const;
    return [
      { ...joint, firstRow: 0, numRows: plainDim, outputs: "columns" },
      { ...joint, firstRow: plainDim, numRows: valueDim, outputs: "rows" },
      { ...rows, matrix: matrix(numHeads * rank, plainDim), rowStride: rank, numRows: rank, numCols: plainDim },
      { ...rows, matrix: matrix(numHeads * valueDim, rank), rowStride: valueDim, numRows: valueDim, numCols: rank },
    ];
  };

  test.each(DTYPES)("%s", (dtype) =>
    compiles(numHeads === V2_LITE.numHeads ? 4 : 0, () =>
      parts(dtype).flatMap((part) => {
        const vectors = { buffer: buffer(), at: 0, stride: 4, tokenStride: 16 };
        const out = { buffer: buffer(), stride: 4, tokenStride: 16 };
        return [headMatvec(host, part, vectors, out), headMatmul(host, part, vectors, out, uniform())(2)];
      }),
    ),
  );
});

test("router: groups by their best and best two, every scoring, with and without a bias for choosing", () =>
  compiles(6, () =>
    (["softmax", "sigmoid"] as const).flatMap((scoring) =>
      (["best", "best two"] as const).flatMap((worth) =>
        [undefined, buffer()].map((bias) => {
          const tables = { logits: buffer(), residency: buffer(), residencyAt: 0, routing: buffer(), routingAt: 0 };
          const sizes = { numExperts: 256, topK: 8, logitsStride: 256, renormalize: true, routingScale: 2.5 };
          return router(host, { ...sizes, ...tables, scoring, bias, groups: { count: 8, used: 4, worth } })(2);
        }),
      ),
    ),
  ));
