/**
 * Answers whether a model runs here, and how, before it is downloaded: reads headers, tries the device for half a second,
 * perhaps the link, and estimates. The work behind `canRun` on a page; what a page or worker has is brought along.
 */
import { DeviceError, UsageError } from "../errors.ts";
import type { DType } from "../formats/dtype.ts";
import { type Gpu, openGpu } from "../gpu/device.ts";
import type { ByteSource, FileSet } from "../sources/byte-source.ts";
import type { SourceHooks } from "../sources/source-hooks.ts";
import { throwIfAborted, untilAborted } from "../util/abort.ts";
import { tuningOf } from "./build-parts.ts";
import { DeviceBench } from "./device-bench.ts";
import { diskFacts, type StorageFacts, sizeOf } from "./disk-facts.ts";
import { type Inspected, openAndInspect } from "./inspect.ts";
import { PROBE_BYTES, probeLink } from "./link-probe.ts";
import { memoryNeeds, planMemory, sessionBytes } from "./memory-plan.ts";
import type { DeviceTrial, ExpectedSpeed, FirstToken, ReasonCode, Remark, RunAnswer } from "./run-answer.ts";
import { type DeviceSpeed, estimateSpeed, type LinkSpeed, promptExpertBytes } from "./run-estimate.ts";
import { assumptionsOf, type Basis, deviceWarnings, diskWarnings } from "./run-remarks.ts";
import { judgeFit } from "./run-verdict.ts";
import { DEFAULT_CONTEXT, modelSizes } from "./sizes.ts";
import { kvBytesRead, type TokenWork, tokenWork } from "./token-work.ts";

/** What the place has that this does not look for itself. */
export interface RunPlace {
  readonly gpu: GPU | undefined;
  /** Gibibytes, as far as the browser tells. */
  readonly deviceMemory?: number | undefined;
  /** The user asked for little traffic. */
  readonly saveData?: boolean | undefined;
  /** `null`: models are not cached here. */
  readonly storage?: StorageFacts | undefined | null;
  /** What the device was measured to do before; what is measured now is added. */
  readonly measured?: MeasuredDevice[] | undefined;
}

/** What a device does with matrices of one kind. */
export interface MeasuredDevice {
  readonly adapter: string;
  readonly dtype: DType;
  readonly cols: number;
  readonly speed: DeviceSpeed;
}

/** Where the model is. */
export interface RunSource {
  readonly open: (hooks: SourceHooks) => Promise<FileSet>;
  /** It is read over the network. */
  readonly isRemote: boolean;
}

const DEFAULT_PROMPT_TOKENS = 32;

type Found = NonNullable<Inspected["model"]>;
type Measured = Pick<
  RunAnswer,
  "device" | "link" | "suggestedBudgetBytes" | "speed" | "firstToken" | "assumptions" | "bytesRead"
>;

/**
 * @throws SourceError, FormatError; UsageError for a senseless option; `AbortError`. A model that is not supported, and a
 * place without WebGPU, are no errors but answers.
 */
export async function canRun(
  place: RunPlace,
  source: RunSource,
  options: DeviceTrial,
  signal?: AbortSignal,
): Promise<RunAnswer> {
  const { gpuBudgetBytes, promptTokens } = options;
  const start = performance.now();
  for (const [name, value] of Object.entries({ gpuBudgetBytes, promptTokens })) {
    if (value === undefined || value > 0) continue;
    throw new UsageError(`${name} is ${value}; expected a number above 0.`);
  }
  const opening = openOrWhyNot(place.gpu, options.stockLimits ?? false, signal); // while headers come
  try {
    const context = options.contextLength === undefined ? {} : { contextLength: options.contextLength };
    const inspected = await openAndInspect(
      source.open,
      async () => ({ ...context, ...bindingOf(await opening) }),
      signal,
    );
    const found = await answer(place, source.isRemote, options, await opening, inspected, signal);
    return { ...found, tookMs: performance.now() - start };
  } finally {
    void opening.then(close, () => {}); // one that comes after an error, too
  }
}

function bindingOf(gpu: Gpu | Remark<ReasonCode>): { maxBindingBytes?: number } {
  return "queue" in gpu ? { maxBindingBytes: gpu.facts.maxBindingBytes } : {};
}

function close(gpu: Gpu | Remark<ReasonCode>): void {
  if (!("queue" in gpu)) return;
  gpu.queue.dispose();
  gpu.destroy();
}

async function openOrWhyNot(
  gpu: GPU | undefined,
  stockLimits: boolean,
  signal: AbortSignal | undefined,
): Promise<Gpu | Remark<ReasonCode>> {
  try {
    return await untilAborted(openGpu(gpu, { stockLimits }), signal, close);
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    const code = error.code === "no-webgpu" || error.code === "no-adapter" ? error.code : "no-device";
    return { code, text: error.message };
  }
}

async function answer(
  place: RunPlace,
  isRemote: boolean,
  options: DeviceTrial,
  gpu: Gpu | Remark<ReasonCode>,
  inspected: Inspected,
  signal: AbortSignal | undefined,
): Promise<Omit<RunAnswer, "tookMs">> {
  const device = "queue" in gpu ? gpu : undefined;
  const { inspection, files, model } = inspected;
  const { storage } = place;
  const onDisk = isRemote && storage !== null;
  const disk = onDisk ? await diskFacts(storage, files.label, model?.checkpoint, inspection.bytesRead) : null;
  const known = { deviceMemory: place.deviceMemory, wantedBytes: options.gpuBudgetBytes };
  const fit = inspection.description && judgeFit(inspection.description.memory, known);
  const common = {
    warnings: [
      ...deviceWarnings(device?.facts, place, inspection.tokenizer !== null),
      ...(fit?.warnings ?? []),
      ...(disk ? diskWarnings(disk) : []),
    ],
    model: inspection,
    adapter: device?.facts ?? null,
    disk,
  };
  const stopped = inspection.unsupported.map((text) => ({ code: "unsupported", text }) as const);
  const reasons: Remark<ReasonCode>[] = [...stopped, ...("queue" in gpu ? [] : [gpu]), ...(fit ? [fit.reason] : [])];
  if (!device || !model || !fit || fit.suggestedBudgetBytes === null || stopped.length > 0) {
    const serious = reasons.filter(({ code }) => code !== "fits" && code !== "paged");
    return { verdict: "does-not-run", reasons: serious, ...common, ...NOT_MEASURED, bytesRead: inspection.bytesRead };
  }
  const tryLink = isRemote && (options.link ?? !place.saveData);
  const measured = await measure(
    inspected,
    model,
    device,
    fit.suggestedBudgetBytes,
    { ...options, link: tryLink },
    place.measured ?? [],
    signal,
  );
  return { verdict: fit.verdict, reasons, ...common, ...measured };
}

const NOT_MEASURED = {
  device: null,
  link: null,
  suggestedBudgetBytes: null,
  speed: null,
  firstToken: null,
  assumptions: [],
} as const;

/** Tries the device and the link, and estimates. */
async function measure(
  { inspection, files }: Inspected,
  model: Found,
  gpu: Gpu,
  budgetBytes: number,
  options: DeviceTrial,
  measured: MeasuredDevice[],
  signal: AbortSignal | undefined,
): Promise<Measured> {
  const { spec, weights, checkpoint } = model;
  const work = tokenWork(spec, weights, checkpoint, gpu.facts.maxBindingBytes);
  const sample = { dtype: inspection.description?.storage[0]?.dtype ?? "F32", cols: spec.hiddenSize } as const;
  const probed = options.link ? checkpoint.shards[0] : undefined;
  const { device, link } = await tried(gpu, sample, probed, options.remeasure ? [] : measured, signal);
  if (!measured.some(({ speed }) => speed === device)) {
    measured.unshift({ adapter: gpu.facts.name, ...sample, speed: device });
  }
  const ownFile = inspection.tokenizer === "tokenizer.json" ? await sizeOf(files, "tokenizer.json", signal) : 0;
  throwIfAborted(signal);
  const basis = basisOf(model, work, gpu, budgetBytes, options);
  return {
    device,
    link,
    suggestedBudgetBytes: budgetBytes,
    speed: expectedSpeed(work, basis, device, link),
    firstToken: firstToken(work, basis.promptTokens, inspection.bytesRead + ownFile, link),
    assumptions: assumptionsOf(work, basis, device, link, sample.dtype),
    bytesRead: inspection.bytesRead + (link ? PROBE_BYTES : 0),
  };
}

/** The link is tried while the device gets ready, not while it is measured: the browser would serve both. */
async function tried(
  gpu: Gpu,
  sample: { readonly dtype: DType; readonly cols: number },
  probed: ByteSource | undefined,
  measured: readonly MeasuredDevice[],
  signal: AbortSignal | undefined,
): Promise<{ device: DeviceSpeed; link: LinkSpeed | null }> {
  const known = measured.find(
    ({ adapter, dtype, cols }) => adapter === gpu.facts.name && dtype === sample.dtype && cols === sample.cols,
  );
  const probing = probed ? probeLink(probed, signal) : Promise.resolve(null);
  if (known) return { device: known.speed, link: await probing };
  const bench = new DeviceBench(gpu, tuningOf(gpu), sample, signal);
  try {
    const [link] = await Promise.all([probing, bench.prepare()]);
    return { device: await bench.measure(), link };
  } finally {
    bench.dispose();
  }
}

function basisOf(
  { spec, weights }: Found,
  { moe }: TokenWork,
  { facts }: Gpu,
  budgetBytes: number,
  options: DeviceTrial,
): Basis {
  const sizes = modelSizes(spec);
  const contextLength = Math.min(spec.contextLength, options.contextLength ?? DEFAULT_CONTEXT);
  const needs = memoryNeeds(spec, weights, sizes, facts.maxBindingBytes);
  const { slotsPerLayer } = planMemory(needs, sessionBytes(spec, sizes, contextLength), budgetBytes);
  const promptTokens = Math.min(contextLength, Math.max(1, options.promptTokens ?? DEFAULT_PROMPT_TOKENS));
  const mostSlots = Math.min(...needs.layers.map(({ geometry }) => geometry.maxSlots), Number.POSITIVE_INFINITY);
  const experts = Math.max(0, ...moe.map(({ numExperts }) => numExperts));
  return {
    slots: slotsPerLayer,
    experts,
    holdsAll: mostSlots >= experts,
    promptTokens,
    kvBytes: kvBytesRead(spec, promptTokens),
  };
}

function expectedSpeed(work: TokenWork, basis: Basis, device: DeviceSpeed, link: LinkSpeed | null): ExpectedSpeed {
  const { slots, experts, holdsAll, kvBytes } = basis;
  return {
    resident: holdsAll ? estimateSpeed(work, experts, kvBytes, device) : null,
    suggested: estimateSpeed(work, slots, kvBytes, device),
    suggestedFromLink: link && estimateSpeed(work, slots, kvBytes, device, link),
  };
}

function firstToken(work: TokenWork, promptTokens: number, headerBytes: number, link: LinkSpeed | null): FirstToken {
  const expertBytes = promptExpertBytes(work, promptTokens);
  const denseBytes = work.storedDenseBytes;
  const bytes = headerBytes + denseBytes + expertBytes;
  return {
    promptTokens,
    bytes,
    headerBytes,
    denseBytes,
    expertBytes,
    expertShare: work.storedExpertBytes === 0 ? 0 : expertBytes / work.storedExpertBytes,
    downloadSeconds: link && bytes / link.bytesPerSecond,
  };
}
