/**
 * The fragments that only some families need: each compiles in every kernel that takes it, within the default limits.
 * Beside compile.test.ts, which holds the variants of the others.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { create } from "webgpu";
import { type Gpu, openGpu } from "../../src/gpu/device.ts";
import type { LedgerBuffer } from "../../src/gpu/ledger.ts";
import type { Command } from "../../src/gpu/queue.ts";
import { STORAGE_USAGE, UNIFORM_USAGE } from "../../src/gpu/usage.ts";
import { attentionDecode } from "../../src/kernels/attention-decode.ts";
import { attentionPrefill } from "../../src/kernels/attention-prefill.ts";
import { expertDown } from "../../src/kernels/expert-down.ts";
import { expertGateUp } from "../../src/kernels/expert-gate-up.ts";
import { expertMatmulDown } from "../../src/kernels/expert-matmul-down.ts";
import { expertMatmulGateUp } from "../../src/kernels/expert-matmul-gate-up.ts";
import { expertMatmulUp } from "../../src/kernels/expert-matmul-up.ts";
import { expertUp } from "../../src/kernels/expert-up.ts";
import type { Finish } from "../../src/kernels/finish.ts";
import type { Heads } from "../../src/kernels/heads.ts";
import { KernelHost, type Matrix } from "../../src/kernels/kernel.ts";
import { kvWrite } from "../../src/kernels/kv-write.ts";
import { matmul } from "../../src/kernels/matmul.ts";
import { matvec } from "../../src/kernels/matvec.ts";
import { norm } from "../../src/kernels/norm.ts";
import { router } from "../../src/kernels/router.ts";
import { shortConvDecode, shortConvPrefill } from "../../src/kernels/short-conv.ts";
import type { LayerSlabs, SlotMatrix } from "../../src/kernels/slots.ts";
import { wideNorm } from "../../src/kernels/wide-norm.ts";
import { type WatchedGpu, watchGpu } from "../gpu/kernels/watched-gpu.ts";

const ROWS = 8;
const COLS = 32;
const TOP_K = 2;
const BYTES = 16 * 1024;
const MAX_STORAGE_BUFFERS = 8;

let watched: WatchedGpu;
let gpu: Gpu;
let host: KernelHost;

beforeAll(async () => {
  watched = watchGpu(create(["backend=null"]));
  gpu = await openGpu(watched.gpu, { stockLimits: true });
  host = new KernelHost(gpu, { lanes: 4, rows: 16 });
});
afterAll(() => {
  gpu.destroy();
  expect(watched.errors).toEqual([]);
});

const buffer = (): LedgerBuffer => gpu.ledger.create("scratch", "test", BYTES, STORAGE_USAGE);
const uniform = (): LedgerBuffer => gpu.ledger.create("scratch", "test", 32, UNIFORM_USAGE);
const matrix = (): Matrix => ({ dtype: "F32", rows: ROWS, quadsPerRow: COLS / 4, buffer: buffer() });

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

const finishes = (): Finish[] => [
  { kind: "bias", biases: [buffer()] },
  { kind: "scale", factor: 2 },
  { kind: "relu2" },
  { kind: "add" },
  { kind: "add", gate: { buffer: buffer(), at: 4, stride: 8 } },
];

describe("products", () => {
  test("matvec: every finish, and three biases", () =>
    compiles(6, () => {
      const segment = (i: number) => ({ matrix: matrix(), outAt: i * ROWS });
      const three: Finish = { kind: "bias", biases: [buffer(), buffer(), buffer()] };
      return [
        ...finishes().map((finish) => matvec(host, [segment(0)], { buffer: buffer() }, buffer(), finish)),
        matvec(host, [0, 1, 2].map(segment), { buffer: buffer() }, buffer(), three),
      ];
    }));

  test("matvec refuses a bias for some of its matrices", () => {
    const segments = [0, 1].map((i) => ({ matrix: matrix(), outAt: i * ROWS }));
    const one: Finish = { kind: "bias", biases: [buffer()] };
    expect(() => matvec(host, segments, { buffer: buffer() }, buffer(), one)).toThrow(/a bias for every matrix/);
  });

  test("matmul: every finish", () =>
    compiles(5, () =>
      finishes().map((finish) => {
        const site = { x: buffer(), xAt: 0, xStride: COLS / 4, out: buffer(), outAt: 0, outStride: ROWS };
        return matmul(host, { matrix: matrix(), ...site, step: uniform(), finish })(2);
      }),
    ));
});

describe("attention", () => {
  const heads = (change: Partial<Heads>): Heads => ({
    numHeads: 2,
    numKvHeads: 1,
    headDim: 16,
    gains: { q: buffer(), k: buffer() },
    rope: buffer(),
    eps: 1e-6,
    ...change,
  });
  const kv = () => ({ k: buffer(), v: buffer(), capacity: 4 });
  const choices = () => [
    heads({ interleaved: true, ropeDims: 8 }),
    heads({ sinks: buffer() }),
    heads({ gated: true }),
    heads({ interleaved: true, sinks: buffer(), gated: true }),
  ];

  test("attention-decode: neighbours that turn, sinks, gates, all of them", () =>
    compiles(4, () =>
      choices().map((each) =>
        attentionDecode(host, { heads: each, window: 2, kv: kv(), qkv: buffer(), out: buffer(), step: uniform() }),
      ),
    ));

  test("attention-prefill: sinks, gates, both, neither", () =>
    compiles(4, () =>
      choices().map((each) => {
        const site = { qkv: buffer(), qkvStride: 1024, out: buffer(), outStride: 512, step: uniform() };
        return attentionPrefill(host, { heads: each, window: null, kv: kv(), ...site })(2);
      }),
    ));

  test("kv-write: neighbours that turn", () =>
    compiles(2, () =>
      choices().map((each) => {
        return kvWrite(host, { heads: each, kv: kv(), qkv: buffer(), qkvStride: 1024, step: uniform() })(2);
      }),
    ));

  test("wide-norm", () =>
    compiles(1, () => {
      const gains = { qGain: buffer(), kGain: buffer() };
      return [wideNorm(host, { qCols: 32, kCols: 16, ...gains, qkv: buffer(), stride: 64, eps: 1e-5 })(2)];
    }));
});

describe("experts", () => {
  const slot = (): SlotMatrix => ({ dtype: "F32", rows: ROWS, quadsPerRow: COLS / 4, word: 0, biasWord: 512 });
  const slabs = (count: number): LayerSlabs => {
    return { slabs: Array.from({ length: count }, buffer), slotsPerSlab: 1, slotWords: 1024 };
  };

  test("biases in slots and the clamped activation, from 1, 2 and 4 slabs", () =>
    compiles(4 * 3, () =>
      [1, 2, 4].flatMap((count) => {
        const layer = slabs(count);
        const shared = { layer, topK: TOP_K, routing: buffer(), routingAt: 0 };
        const tiles = { layer, tiles: buffer(), pairs: buffer(), act: buffer(), actStride: COLS };
        const both = { gate: slot(), up: slot(), activation: "clamped-swiglu" } as const;
        return [
          expertGateUp(host, { ...shared, ...both, x: { buffer: buffer() }, xAt: 0, act: buffer(), actStride: ROWS }),
          expertDown(host, { ...shared, down: slot(), act: buffer(), actStride: COLS, out: buffer() }),
          expertMatmulGateUp(host, { ...tiles, ...both, topK: TOP_K, x: buffer(), xAt: 0, xStride: COLS / 4 })(1),
          expertMatmulDown(host, { ...tiles, down: slot(), z: buffer(), zStride: ROWS })(1),
        ];
      }),
    ));

  test("no gate, with and without biases, from 1, 2 and 4 slabs", () =>
    compiles(2 * 2 * 3, () =>
      [1, 2, 4].flatMap((count) =>
        [slot(), { ...slot(), biasWord: undefined }].flatMap((up) => {
          const shared = { layer: slabs(count), up, topK: TOP_K, xAt: 0, act: buffer(), actStride: ROWS };
          return [
            expertUp(host, { ...shared, routing: buffer(), routingAt: 0, x: { buffer: buffer() } }),
            expertMatmulUp(host, { ...shared, tiles: buffer(), pairs: buffer(), x: buffer(), xStride: COLS / 4 })(1),
          ];
        }),
      ),
    ));

  test("router: every scoring, with and without a bias for choosing", () =>
    compiles(4, () =>
      (["softmax", "sigmoid"] as const).flatMap((scoring) =>
        [undefined, buffer()].map((bias) => {
          const tables = { logits: buffer(), residency: buffer(), residencyAt: 0, routing: buffer(), routingAt: 0 };
          const sizes = { numExperts: 8, topK: 2, logitsStride: 8, renormalize: true, routingScale: 1 };
          return router(host, { ...sizes, ...tables, scoring, bias })(2);
        }),
      ),
    ));
});

describe("the rest", () => {
  test("short convolutions: every storage type of their taps", () => {
    const dtypes = ["F32", "F16", "BF16"] as const;
    return compiles(1 + 2 * dtypes.length, () =>
      dtypes.flatMap((dtype) => {
        const site = {
          taps: { ...matrix(), dtype },
          kernel: 3,
          ring: { buffer: buffer(), capacity: 4 },
          bcx: buffer(),
          bcxStride: 3 * ROWS,
          out: buffer(),
          outStride: ROWS,
          step: uniform(),
        };
        return [shortConvDecode(host, site), ...shortConvPrefill(host, site).map((command) => command(2))];
      }),
    );
  });

  const site = () => {
    const streams = { xIn: { buffer: buffer() }, xOut: { buffer: buffer() }, h: { buffer: buffer() } };
    return { cols: COLS, eps: 1e-6, inputGain: buffer(), ...streams };
  };

  test("norm after a scaled block", () =>
    compiles(1, () => [norm(host, { ...site(), residual: { y: buffer(), outputGain: undefined, scale: 0.5 } })(2)]));

  test("norm refuses a block output with both a norm and a factor", () => {
    const residual = { y: buffer(), outputGain: buffer(), scale: 0.5 };
    expect(() => norm(host, { ...site(), residual })).toThrow(/both a norm and a factor/);
  });

  test("no shader binds more storage buffers than the default limit, and one binds as many", () => {
    const most = Math.max(...watched.shaders.map((text) => text.match(/var<storage/g)?.length ?? 0));
    expect(most).toBe(MAX_STORAGE_BUFFERS);
  });
});
