/**
 * Every kernel with every choice of fragments compiles and makes a pipeline on a device with the default limits and no
 * optional feature, through the kernels' own host halves. Dawn's null backend has the real front end and validation, and
 * runs nothing.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { create } from "webgpu";
import embedText from "../../shaders/embed.wgsl?raw";
import { DeviceError } from "../../src/errors.ts";
import { BLOCKS, type DType } from "../../src/formats/dtype.ts";
import { type Gpu, openGpu } from "../../src/gpu/device.ts";
import type { LedgerBuffer } from "../../src/gpu/ledger.ts";
import type { Command } from "../../src/gpu/queue.ts";
import { STORAGE_USAGE, UNIFORM_USAGE } from "../../src/gpu/usage.ts";
import { attentionDecode } from "../../src/kernels/attention-decode.ts";
import { attentionPrefill } from "../../src/kernels/attention-prefill.ts";
import { combine } from "../../src/kernels/combine.ts";
import { embed } from "../../src/kernels/embed.ts";
import { expertDown } from "../../src/kernels/expert-down.ts";
import { expertGateUp } from "../../src/kernels/expert-gate-up.ts";
import { expertMatmulDown } from "../../src/kernels/expert-matmul-down.ts";
import { expertMatmulGateUp } from "../../src/kernels/expert-matmul-gate-up.ts";
import { type Heads, MAX_HEAD_DIM } from "../../src/kernels/heads.ts";
import { KernelHost, type Matrix, matrixFragments, type Tuning } from "../../src/kernels/kernel.ts";
import { kvWrite } from "../../src/kernels/kv-write.ts";
import { matmul } from "../../src/kernels/matmul.ts";
import { matvec } from "../../src/kernels/matvec.ts";
import { matvecSwiglu } from "../../src/kernels/matvec-swiglu.ts";
import { norm } from "../../src/kernels/norm.ts";
import { MAX_EXPERTS, MAX_TOP_K, router } from "../../src/kernels/router.ts";
import { sample } from "../../src/kernels/sample.ts";
import type { LayerSlabs, SlotMatrix } from "../../src/kernels/slots.ts";
import { swiglu } from "../../src/kernels/swiglu.ts";
import { type WatchedGpu, watchGpu } from "../gpu/kernels/watched-gpu.ts";

const DTYPES = Object.keys(BLOCKS) as DType[];
/** Compiled in every mixture; the others alone, twice, and beside their neighbours in the table. */
const MIXED: readonly DType[] = ["F32", "F16", "BF16", "Q8_0"];
const SLABS = [1, 2, 4] as const;
// Those of src/engine/engine.ts: a software adapter's and a GPU's.
const SOFTWARE: Tuning = { lanes: 1, rows: 16 };
const TUNINGS: readonly Tuning[] = [SOFTWARE, { lanes: 32, rows: 4 }];
const ROWS = 8;
const COLS = 256;
const TOKENS = 2;
const TOP_K = 2;
/** Bytes of every buffer: more than any kernel here touches. */
const BYTES = 16 * 1024;
const MAX_STORAGE_BUFFERS = 8;

let watched: WatchedGpu;
let gpu: Gpu;

beforeAll(async () => {
  watched = watchGpu(create(["backend=null"]));
  gpu = await openGpu(watched.gpu, { stockLimits: true });
});
afterAll(() => {
  gpu.destroy();
  expect(watched.errors).toEqual([]);
});

const buffer = (): LedgerBuffer => gpu.ledger.create("scratch", "test", BYTES, STORAGE_USAGE);
const uniform = (): LedgerBuffer => gpu.ledger.create("scratch", "test", 32, UNIFORM_USAGE);
const matrix = (dtype: DType): Matrix => ({ dtype, rows: ROWS, quadsPerRow: COLS / 4, buffer: buffer() });
const slotMatrix = (dtype: DType): SlotMatrix => ({ dtype, rows: ROWS, quadsPerRow: COLS / 4, word: 0 });
const slabs = (count: number): LayerSlabs => ({
  slabs: Array.from({ length: count }, buffer),
  slotsPerSlab: 1,
  slotWords: 1024,
});
const others = DTYPES.filter((dtype) => !MIXED.includes(dtype));
const after = (i: number): DType => others[i % others.length]!;
const pairs = [
  ...MIXED.flatMap((a) => MIXED.map((b) => [a, b] as const)),
  ...others.flatMap((dtype, i) => [[dtype, dtype] as const, [dtype, after(i + 1)] as const]),
];
const triples = [
  ...MIXED.flatMap((a) => MIXED.flatMap((b) => MIXED.map((c) => [a, b, c] as const))),
  ...others.map((dtype, i) => [dtype, after(i + 1), after(i + 2)] as const),
];
const mixtures: (readonly DType[])[] = [...DTYPES.map((dtype) => [dtype]), ...pairs, ...triples];

/** Binds every variant, validates and submits one dispatch of each, and expects `count` pipelines for it. */
async function compiles(count: number, bind: (host: KernelHost) => Command[], tunings: readonly Tuning[] = [SOFTWARE]) {
  const before = watched.pipelines();
  const commands = tunings.flatMap((tuning) => bind(new KernelHost(gpu, tuning)));
  await gpu.pipelines.settled();
  gpu.queue.submit(commands);
  await gpu.queue.submitAndRead([], [{ buffer: buffer(), offset: 0, bytes: 16 }]); // errors have surfaced after it
  expect(watched.errors).toEqual([]);
  expect(watched.pipelines() - before).toBe(count);
}

describe("the device is the least that WebGPU promises", () => {
  test("default limits, no optional feature", () => {
    expect(gpu.facts.features.filter((feature) => feature !== "core-features-and-limits")).toEqual([]);
    expect(gpu.facts.maxBindingBytes).toBe(128 * 1024 * 1024);
  });
});

describe("matrices", () => {
  test("embed: every storage type", () =>
    compiles(DTYPES.length, (host) =>
      DTYPES.flatMap((dtype) => embed(host, [{ ...matrix(dtype), rowStart: 0 }], buffer(), buffer())(TOKENS)),
    ));

  test("matvec: 1, 2 and 3 segments of mixtures of storage types, both tunings", () => {
    const bind = (host: KernelHost) =>
      mixtures.map((dtypes) => {
        const segments = dtypes.map((dtype, i) => ({ matrix: matrix(dtype), outAt: i * ROWS }));
        return matvec(host, segments, { buffer: buffer() }, buffer());
      });
    return compiles(mixtures.length * TUNINGS.length, bind, TUNINGS);
  });

  test("matvec-swiglu: pairs of storage types, both tunings", () =>
    compiles(
      pairs.length * TUNINGS.length,
      (host) => pairs.map(([a, b]) => matvecSwiglu(host, matrix(a), matrix(b), { buffer: buffer() }, buffer())),
      TUNINGS,
    ));

  test("matmul: every storage type", () =>
    compiles(DTYPES.length, (host) =>
      DTYPES.map((dtype) => {
        const site = { x: buffer(), xAt: 0, xStride: COLS / 4, out: buffer(), outAt: 0, outStride: ROWS };
        return matmul(host, { matrix: matrix(dtype), ...site, step: uniform() })(TOKENS);
      }),
    ));
});

describe("attention", () => {
  const heads = (headDim: number): Heads[] =>
    [true, false].flatMap((normed) =>
      [true, false].map((turned) => ({
        numHeads: 2,
        numKvHeads: 1,
        headDim,
        gains: normed ? { q: buffer(), k: buffer() } : undefined,
        rope: turned ? buffer() : undefined,
        eps: 1e-6,
      })),
    );
  const kv = () => ({ k: buffer(), v: buffer(), capacity: 4 });
  // Sizes are params, so one pipeline serves them all.
  const allHeads = () => [2, 20, MAX_HEAD_DIM].flatMap(heads);

  test("attention-decode: with and without head norms and positions", () =>
    compiles(4, (host) =>
      allHeads().map((each) =>
        attentionDecode(host, { heads: each, window: 2, kv: kv(), qkv: buffer(), out: buffer(), step: uniform() }),
      ),
    ));

  test("kv-write: with and without head norms and positions", () =>
    compiles(4, (host) =>
      allHeads().map((each) =>
        kvWrite(host, { heads: each, kv: kv(), qkv: buffer(), qkvStride: 1024, step: uniform() })(TOKENS),
      ),
    ));

  test("attention-prefill", () =>
    compiles(1, (host) =>
      allHeads().map((each) => {
        const site = { qkv: buffer(), qkvStride: 1024, out: buffer(), outStride: 512, step: uniform() };
        return attentionPrefill(host, { heads: each, window: null, kv: kv(), ...site })(TOKENS);
      }),
    ));
});

describe("experts", () => {
  const routing = () => ({ topK: TOP_K, routing: buffer(), routingAt: 0 });
  const tiles = () => ({ tiles: buffer(), pairs: buffer() });

  test("expert-gate-up: pairs of storage types from 1, 2 and 4 slabs, both tunings", () =>
    compiles(
      pairs.length * SLABS.length * TUNINGS.length,
      (host) =>
        SLABS.flatMap((count) =>
          pairs.map(([a, b]) => {
            const site = { layer: slabs(count), gate: slotMatrix(a), up: slotMatrix(b), ...routing() };
            return expertGateUp(host, { ...site, x: { buffer: buffer() }, xAt: 0, act: buffer(), actStride: ROWS });
          }),
        ),
      TUNINGS,
    ));

  test("expert-down: every storage type from 1, 2 and 4 slabs, both tunings", () =>
    compiles(
      DTYPES.length * SLABS.length * TUNINGS.length,
      (host) =>
        SLABS.flatMap((count) =>
          DTYPES.map((dtype) => {
            const site = { layer: slabs(count), down: slotMatrix(dtype), ...routing() };
            return expertDown(host, { ...site, act: buffer(), actStride: COLS, out: buffer() });
          }),
        ),
      TUNINGS,
    ));

  test("expert-matmul-gate-up: pairs of storage types from 1, 2 and 4 slabs", () =>
    compiles(pairs.length * SLABS.length, (host) =>
      SLABS.flatMap((count) =>
        pairs.map(([a, b]) => {
          const site = { layer: slabs(count), gate: slotMatrix(a), up: slotMatrix(b), topK: TOP_K, ...tiles() };
          const vectors = { x: buffer(), xAt: 0, xStride: COLS / 4, act: buffer(), actStride: ROWS };
          return expertMatmulGateUp(host, { ...site, ...vectors })(1);
        }),
      ),
    ));

  test("expert-matmul-down: every storage type from 1, 2 and 4 slabs", () =>
    compiles(DTYPES.length * SLABS.length, (host) =>
      SLABS.flatMap((count) =>
        DTYPES.map((dtype) => {
          const site = { layer: slabs(count), down: slotMatrix(dtype), ...tiles() };
          return expertMatmulDown(host, { ...site, act: buffer(), actStride: COLS, z: buffer(), zStride: ROWS })(1);
        }),
      ),
    ));

  test("router, at its largest too", () =>
    compiles(1, (host) =>
      [
        { numExperts: 1, topK: 1, logitsStride: 4 },
        { numExperts: MAX_EXPERTS, topK: MAX_TOP_K, logitsStride: MAX_EXPERTS },
      ].map((sizes) => {
        const tables = { logits: buffer(), residency: buffer(), residencyAt: 0, routing: buffer(), routingAt: 0 };
        return router(host, { ...sizes, ...tables, renormalize: true, routingScale: 1 })(TOKENS);
      }),
    ));

  test("router of a decode step, and one of a model that is all resident", () =>
    compiles(2, (host) => {
      const watch = { step: uniform(), miss: buffer(), moe: 0, numMoe: 2, hintsAt: 0 };
      const site = { numExperts: 64, topK: 8, logitsStride: 64, renormalize: true, routingScale: 1 };
      const tables = { logits: buffer(), residencyAt: 0, routing: buffer(), routingAt: 0 };
      return [
        router(host, { ...site, ...tables, residency: buffer(), watch })(1),
        router(host, { ...site, ...tables, residency: undefined })(1),
      ];
    }));

  test("a kernel of a step that can be halted, which starts with that question", () =>
    compiles(1, (host) => [
      matvec(host.halting(uniform()), [{ matrix: matrix("Q8_0"), outAt: 0 }], { buffer: buffer() }, buffer()),
    ]));

  test("combine", () => compiles(1, (host) => [combine(host, COLS / 4, TOP_K, buffer(), buffer(), buffer())(TOKENS)]));
});

describe("the rest", () => {
  test("norm: first, after a block, after a block with an output norm", () =>
    compiles(3, (host) =>
      [undefined, { y: buffer(), outputGain: undefined }, { y: buffer(), outputGain: buffer() }].map((residual) => {
        const streams = { xIn: { buffer: buffer() }, xOut: { buffer: buffer() }, h: { buffer: buffer() } };
        return norm(host, { cols: COLS, eps: 1e-6, inputGain: buffer(), ...streams, residual })(TOKENS);
      }),
    ));

  test("swiglu", () => compiles(1, (host) => [swiglu(host, ROWS, ROWS, buffer(), buffer())(TOKENS)]));

  test("sample", () => compiles(1, (host) => [sample(host, 100, buffer(), uniform(), buffer())]));
});

describe("over all that was compiled", () => {
  test("the number of variants, all of them different", () => {
    const tuned = mixtures.length + pairs.length + (pairs.length + DTYPES.length) * SLABS.length;
    const fixed = (pairs.length + DTYPES.length) * SLABS.length + 2 * DTYPES.length + 9 + 2 + 3 + 2 + 3;
    expect([DTYPES.length, pairs.length, triples.length]).toEqual([17, 16 + 26, 64 + 13]);
    expect(watched.pipelines()).toBe(tuned * TUNINGS.length + fixed);
    // The tuning is in override constants, so its variants share their text.
    expect(new Set(watched.shaders).size).toBe(tuned + fixed);
  });

  test("no shader binds more storage buffers than the default limit", () => {
    const most = Math.max(...watched.shaders.map((text) => text.match(/var<storage/g)?.length ?? 0));
    expect(most).toBe(MAX_STORAGE_BUFFERS);
  });

  test("no shader asks for a feature or a language extension", () => {
    expect(watched.shaders.filter((text) => /^\s*(enable|requires)\b/m.test(text))).toEqual([]);
  });
});

describe("a fragment that is wrong is reported", () => {
  // A device reports a broken module on its own account too.
  afterEach(() => {
    watched.errors.splice(0);
  });
  const host = () => new KernelHost(gpu, SOFTWARE);
  const buffers = () => ({ ids: { buffer: buffer() }, x: { buffer: buffer() }, weights: { buffer: buffer() } });
  const params = { quads: 1, row_start: 0, row_count: 1, scale: 1 };
  const [words, dtype] = matrixFragments("F32");

  test("with the kernel's name, line, column and source", async () => {
    const broken = { text: dtype!.text.replace("bitcast<vec4f>", "bitcats<vec4f>") };
    host().bind("embed broken", embedText, [words!, broken], params, buffers());
    const error: unknown = await gpu.pipelines.settled().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DeviceError);
    const { message } = error as DeviceError;
    expect(message).toMatch(/Kernel "embed broken" does not compile: \d+:\d+ .*bitcats/);
    expect(message).toContain("  return bitcats<vec4f>(vec4u(word(at)");
    const line = Number(/(\d+):\d+/.exec(message)?.[1]);
    expect(watched.shaders.at(-1)?.split("\n")[line - 1]).toContain("bitcats");
  });

  test("when it leaves a function open", async () => {
    host().bind("embed without weights", embedText, [words!], params, buffers());
    await expect(gpu.pipelines.settled()).rejects.toThrow(/unresolved .*weight4/);
  });

  test("when the module is sound but the pipeline is not", async () => {
    host().bind("embed too wide", embedText.replace("(64)", "(1024)"), [words!, dtype!], params, buffers());
    await expect(gpu.pipelines.settled()).rejects.toThrow(/embed too wide.*does not compile/s);
  });

  test("and so is a buffer that cannot be bound", async () => {
    host().bind("embed from a uniform", embedText, [words!, dtype!], params, {
      ...buffers(),
      x: { buffer: uniform() },
    });
    await gpu.queue.submitAndRead([], [{ buffer: buffer(), offset: 0, bytes: 16 }]);
    expect(watched.errors.join()).toContain("Storage");
  });

  test("once: what compiled before and after is not touched by it", async () => {
    await expect(gpu.pipelines.settled()).resolves.toBeUndefined();
    host().bind("embed sound", embedText, [words!, dtype!], params, buffers());
    await expect(gpu.pipelines.settled()).resolves.toBeUndefined();
  });
});
