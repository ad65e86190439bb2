/** What the engine tests share: one device for many engines, models opened once, logits compared to the last bit. */
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import type { Session } from "../../src/engine/session.ts";
import type { MemoryPlan } from "../../src/engine/types.ts";
import { openCheckpoint } from "../../src/formats/open-checkpoint.ts";
import { generate } from "../../src/generate/generate.ts";
import { type Gpu, openGpu } from "../../src/gpu/device.ts";
import { describeModel } from "../../src/models/registry.ts";
import type { ModelSpec } from "../../src/models/spec.ts";
import type { FileSet } from "../../src/sources/byte-source.ts";
import { createWeightMap, type WeightMap } from "../../src/weights/weight-map.ts";
import { argmax } from "../reference/sample.ts";

export interface OpenedModel {
  readonly spec: ModelSpec;
  readonly weights: WeightMap;
}

export async function openModel(files: FileSet): Promise<OpenedModel> {
  const checkpoint = await openCheckpoint(files);
  const { spec, names } = describeModel(checkpoint);
  return { spec, weights: createWeightMap(checkpoint, spec, names) };
}

/** A device whose compiled kernels serve many engines; every engine has a ledger and a queue of its own. */
export interface SharedDevice {
  /** What the device complained about since it was asked for: nothing, in a sound run. */
  readonly complaints: readonly string[];
  engine(model: OpenedModel, options?: EngineOptions): Promise<{ engine: Engine; gpu: Gpu }>;
}

/** A device that a test may destroy. */
export interface OwnDevice extends SharedDevice {
  close(): void;
}

let page: Promise<SharedDevice> | undefined;

/**
 * The page's device, for a test file that needs none of its own. The files of a run share one page (`isolate: false`): on
 * a software adapter an engine's 26 kernels take five seconds to compile, more than most tests take to run.
 */
export async function shareDevice(): Promise<SharedDevice> {
  page ??= openDevice();
  const { complaints, engine } = await page;
  const before = complaints.length;
  return {
    engine,
    get complaints() {
      return complaints.slice(before);
    },
  };
}

/** A device of a test's own, which nobody else computes on. */
export async function openDevice(): Promise<OwnDevice> {
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) throw new Error("no adapter");
  const complaints: string[] = [];
  let device: GPUDevice | undefined;
  let pipelines: Gpu["pipelines"] | undefined;
  const lender = {
    limits: adapter.limits,
    info: adapter.info,
    requestDevice: async (wanted: GPUDeviceDescriptor) => {
      if (device) return device;
      device = await adapter.requestDevice(wanted);
      device.addEventListener("uncapturederror", ({ error }) => complaints.push(error.message));
      return device;
    },
  };
  const navigatorGpu = { requestAdapter: async () => lender } as unknown as GPU;
  return {
    complaints,
    engine: async ({ spec, weights }, options = {}) => {
      const own = await openGpu(navigatorGpu);
      pipelines ??= own.pipelines;
      const gpu: Gpu = { ...own, pipelines, destroy: () => own.ledger.destroyAll() };
      return { engine: await Engine.create(gpu, weights, spec, options), gpu };
    },
    close: () => device?.destroy(),
  };
}

/** The budget that leaves room for `fraction` of the experts' bytes, and never less than the smallest allowed. */
export function budgetFor({ fullBudgetBytes, minBudgetBytes, expertBytes }: MemoryPlan, fraction: number): number {
  return Math.max(minBudgetBytes, Math.floor(fullBudgetBytes - (1 - fraction) * expertBytes));
}

/** A prompt's logits and those of every token after it, as bits; `ids` are the tokens fed, each the likeliest. */
export interface Answer {
  readonly ids: readonly number[];
  readonly bits: readonly Uint32Array[];
}

/** Prefills `prompt` and decodes `steps` tokens greedily; `between` runs before step `i`. */
export async function answer(
  session: Session,
  prompt: readonly number[],
  steps: number,
  between?: (step: number) => Promise<unknown> | undefined,
): Promise<Answer> {
  const ids: number[] = [];
  let logits = await session.prefill(prompt);
  const bits = [bitsOf(logits)];
  for (let step = 0; step < steps; step++) {
    await between?.(step);
    const id = argmax(logits);
    ids.push(id);
    logits = await session.decode(id);
    bits.push(bitsOf(logits));
  }
  return { ids, bits };
}

/** Prefills `prompt` and draws `steps` tokens on the GPU; the bits are the logits behind the last of them. */
export async function drawnAnswer(session: Session, prompt: readonly number[], steps: number): Promise<Answer> {
  await session.prefill(prompt);
  const ids: number[] = [];
  const settings = { temperature: 0.9, topK: 40, topP: 0.95, seed: 11, maxTokens: steps, stopIds: [] };
  for await (const { id } of generate(session, settings, [], () => undefined)) ids.push(id);
  return { ids, bits: [bitsOf(await session.nextLogits())] };
}

export function bitsOf(logits: Float32Array): Uint32Array {
  return new Uint32Array(logits.buffer, logits.byteOffset, logits.length);
}

/** Where two answers first differ, in words; "" when they are the same to the last bit. */
export function difference(actual: Answer, expected: Answer): string {
  if (actual.bits.length !== expected.bits.length) return `${actual.bits.length} of ${expected.bits.length} tokens`;
  for (const [step, bits] of expected.bits.entries()) {
    const at = bitDifference(actual.bits[step] ?? new Uint32Array(0), bits);
    if (at !== "") return `after token ${step}: ${at}`;
    if (actual.ids[step] !== expected.ids[step]) return `id ${step}: ${actual.ids[step]} for ${expected.ids[step]}`;
  }
  return "";
}

/** The same for one row of logits. */
export function bitDifference(actual: Uint32Array | Float32Array, expected: Uint32Array | Float32Array): string {
  const [a, b] = [actual, expected].map((row) => (row instanceof Float32Array ? bitsOf(row) : row));
  if (!a || !b || a.length !== b.length) return `${a?.length} logits for ${b?.length}`;
  const different = b.reduce((count, bits, i) => count + Number(bits !== a[i]), 0);
  return different === 0 ? "" : `${different} of ${b.length} logits differ`;
}
