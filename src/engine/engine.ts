/**
 * A loaded model: its weights on the GPU, its pager, its sessions and counters. Takes a GPU and a weight map, never a
 * page: it runs in any WebGPU host. Steps of all sessions run one after another, since they share the scratch buffers.
 */
import { UsageError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { STORAGE_USAGE } from "../gpu/usage.ts";
import { KernelHost, type Tuning } from "../kernels/kernel.ts";
import type { ModelSpec } from "../models/spec.ts";
import type { Advice } from "../pager/governor.ts";
import { type PagedLayer, Pager } from "../pager/pager.ts";
import { DEFAULT_POLICY } from "../pager/policy.ts";
import { RamTier } from "../tiers/ram-tier.ts";
import type { WeightMap } from "../weights/weight-map.ts";
import { newSourceCounts, type SourceCounts, snapshot } from "./counters.ts";
import { loadDeviceWeights } from "./device-weights.ts";
import { HistoryReads } from "./history-reads.ts";
import { createKvCache } from "./kv-cache.ts";
import { type MemoryNeeds, memoryNeeds, planMemory, sessionBytes } from "./memory-plan.ts";
import { checkContext, checkOptions, type EngineOptions, reservedContext } from "./options.ts";
import type { Parts } from "./parts.ts";
import { createScratch, type Scratch } from "./scratch.ts";
import { type QueuedStep, Session, type SessionHost } from "./session.ts";
import { modelSizes, moeLayers, PREDICTIONS, type Sizes } from "./sizes.ts";
import { Steps } from "./steps.ts";
import type { MemoryPlan, ResidencyLayer, Stats, StepEvent, TraceRow } from "./types.ts";

// A software adapter runs the threads of a workgroup in turn, so a row has one. A GPU wants neighbours to read neighbouring words.
const SOFTWARE_TUNING: Tuning = { lanes: 1, rows: 16 };
const GPU_TUNING: Tuning = { lanes: 32, rows: 4 };

/** The shape of matvec workgroups on this device. */
export function tuningOf({ facts }: Gpu): Tuning {
  return facts.isFallback ? SOFTWARE_TUNING : GPU_TUNING;
}

export type { EngineOptions } from "./options.ts";

export class Engine implements SessionHost {
  readonly gpu: Gpu;
  readonly spec: ModelSpec;
  readonly sizes: Sizes;
  readonly parts: Parts;
  readonly steps: Steps;
  /** Grows when slots change place, which makes recorded plans void. */
  generation = 0;
  readonly #needs: MemoryNeeds;
  readonly #options: EngineOptions;
  readonly #sessions = new Map<Session, number>();
  readonly #sources: SourceCounts;
  #plan: MemoryPlan;
  #queue: Promise<unknown> = Promise.resolve();
  #queued: QueuedStep | undefined;
  #disposed = false;

  /** @internal */
  constructor(parts: Parts, needs: MemoryNeeds, plan: MemoryPlan, options: EngineOptions) {
    this.parts = parts;
    this.gpu = parts.gpu;
    this.spec = parts.spec;
    this.sizes = parts.sizes;
    this.steps = new Steps(parts, { layers: options.runAhead ?? "auto", hints: options.extraGuesses ?? "auto" });
    this.#needs = needs;
    this.#plan = plan;
    this.#options = options;
    this.steps.history =
      options.prefetch === "history" ? new HistoryReads(parts.spec, parts.pager, parts.ram) : undefined;
    this.#sources = options.sourceCounts ?? newSourceCounts();
  }

  /**
   * Loads the dense weights and lays out the slots. What it throws leaves no buffer behind.
   * @throws UsageError, BudgetError before anything is read; UnsupportedError for a layer that the spec leaves out and that
   *   would add something; SourceError, DeviceError, `AbortError`.
   */
  static async create(gpu: Gpu, weights: WeightMap, spec: ModelSpec, options: EngineOptions = {}): Promise<Engine> {
    checkOptions(options, spec);
    const sizes = modelSizes(spec, options.prefillChunk, options.prefetch === "next-layer" ? PREDICTIONS : 0);
    const needs = memoryNeeds(spec, weights, sizes, gpu.facts.maxBindingBytes);
    const plan = planMemory(needs, reservedBytes(spec, sizes, options), options.gpuBudgetBytes);
    try {
      const parts = await buildParts(gpu, weights, spec, sizes, needs, plan, options);
      if (options.allResident) await loadAllExperts(parts, plan, options.signal);
      return new Engine(parts, needs, plan, options);
    } catch (error) {
      gpu.ledger.destroyAll();
      throw error;
    }
  }

  /** @throws BudgetError when its cache leaves too little for the experts; UsageError for a senseless length. */
  createSession(contextLength = reservedContext(this.spec, this.#options)): Promise<Session> {
    return this.exclusive(async () => {
      checkContext(contextLength, this.spec.contextLength);
      const bytes = sessionBytes(this.spec, this.sizes, contextLength);
      await this.#resize(this.#plan.budgetBytes, this.#sessionBytes() + bytes);
      const kv = await createKvCache(this.gpu, this.spec, contextLength, this.sizes.chunk);
      const logits = this.gpu.ledger.create("scratch", "logits", this.sizes.vocab * 4, STORAGE_USAGE);
      const session = new Session(this, kv, logits, contextLength);
      this.#sessions.set(session, bytes);
      try {
        await session.prepare();
      } catch (error) {
        session.dispose();
        throw error;
      }
      return session;
    });
  }

  /** Frees a session between two steps, and gives back to the slots what it had taken of them. */
  disposeSession(session: Session): Promise<void> {
    return this.exclusive(async () => {
      session.dispose();
      await this.#resize(this.#plan.budgetBytes, this.#sessionBytes());
    });
  }

  /** Changes the budget between two steps. @throws BudgetError naming the smallest that works; nothing changed then. */
  setBudget(gpuBudgetBytes: number): Promise<MemoryPlan> {
    return this.exclusive(() => this.#resize(gpuBudgetBytes, this.#sessionBytes()));
  }

  memory(): MemoryPlan {
    return this.#plan;
  }

  /** Tokens that a session holds when nothing else is said; its cache is reserved in the budget. */
  get reservedContext(): number {
    return reservedContext(this.spec, this.#options);
  }

  /** Sessions of that length that the budget has room for, whether or not they are alive. */
  get reservedSessions(): number {
    return this.#options.reservedSessions ?? 1;
  }

  stats(): Stats {
    const kvBytes = [...this.#sessions.keys()].reduce((sum, session) => sum + session.kvBytes, 0);
    const { counts, runAhead, history } = this.steps;
    return snapshot({ counts, sources: this.#sources, parts: this.parts, reach: runAhead.reach, history, kvBytes });
  }

  /** Whether more slots would help, or fewer do, by what was decoded of late. */
  advice(): Advice {
    return this.steps.advice(this.#plan.slotsPerLayer);
  }

  residency(): ResidencyLayer[] {
    return this.parts.pager.residentFlags();
  }

  /**
   * Puts experts into free slots while nobody waits for a step: per MoE layer the likeliest first. Ends early, without
   * an error, when `signal` fires.
   */
  async warmUp(experts: readonly (readonly number[])[], signal: AbortSignal): Promise<void> {
    const { pager } = this.parts;
    for (const [moe, likely] of experts.entries()) {
      await this.exclusive(async () => {
        const { stallMs, placeMs } = pager.counts;
        const first = likely.slice(0, pager.numSlots(moe));
        if (!signal.aborted) await pager.acquire([{ moe, experts: first, guess: true }], { signal }).catch(() => {});
        Object.assign(pager.counts, { stallMs, placeMs }); // nobody waited
        pager.takeChanges(); // nor are these the next step's misses
      });
    }
  }

  /** Tokens that chose each expert since the load: the experts of all MoE layers, one layer after another. */
  useCounts(): Uint32Array<ArrayBuffer> {
    return this.parts.pager.useCounts();
  }

  /** Calls `listener` after every step. */
  watch(listener: ((event: StepEvent) => void) | undefined): void {
    this.steps.listener = listener;
  }

  startTrace(): void {
    this.steps.trace.start();
  }

  takeTrace(): TraceRow[] {
    return this.steps.trace.take();
  }

  /** Frees every buffer; the GPU itself is the caller's. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const session of [...this.#sessions.keys()]) session.dispose();
    this.steps.history?.dispose();
    void this.parts.pager.endGuesses();
    this.parts.ram.clear();
    this.gpu.queue.dispose();
    this.gpu.ledger.destroyAll();
  }

  /** Runs `task` when every earlier one has ended. */
  exclusive<T>(task: () => Promise<T>): Promise<T> {
    return this.exclusiveDraw(async (queued) => {
      if (queued) await this.steps.drop(queued.step);
      return task();
    });
  }

  /** @internal */
  exclusiveDraw<T>(task: (queued: QueuedStep | undefined) => Promise<T>): Promise<T> {
    const run = this.#queue.then(() => {
      if (this.#disposed)
        throw new UsageError("This model was disposed. Load it again to use it.", { code: "disposed" });
      const queued = this.#queued;
      this.#queued = undefined;
      return task(queued);
    });
    this.#queue = run.catch(() => {});
    return run;
  }

  /** @internal */
  keepQueued(step: QueuedStep): void {
    this.#queued = step;
  }

  /** @internal A session that was disposed. */
  forget(session: Session): void {
    this.#sessions.delete(session);
  }

  async #resize(budgetBytes: number, liveSessionBytes: number): Promise<MemoryPlan> {
    const reserved = reservedBytes(this.spec, this.sizes, this.#options);
    const plan = planMemory(this.#needs, Math.max(reserved, liveSessionBytes), budgetBytes);
    if (plan.slotsPerLayer !== this.#plan.slotsPerLayer) {
      if (this.parts.allResident) {
        throw new UsageError("A model with allResident keeps every expert on the GPU: load it without to change that.");
      }
      await this.#resizeSlots(plan.slotsPerLayer);
    }
    this.#plan = plan;
    return plan;
  }

  /** Memory refused for the new slots brings the old number back, and the refusal is told. */
  async #resizeSlots(slotsPerLayer: number): Promise<void> {
    const { pager, host } = this.parts;
    try {
      await pager.resize(slotsPerLayer);
    } catch (error) {
      await pager.resize(this.#plan.slotsPerLayer);
      throw error;
    } finally {
      host.reset();
      this.generation += 1;
    }
  }

  #sessionBytes(): number {
    return [...this.#sessions.values()].reduce((sum, bytes) => sum + bytes, 0);
  }
}

/** Caches that the plan keeps room for, whether or not their sessions are alive. */
function reservedBytes(spec: ModelSpec, sizes: Sizes, options: EngineOptions): number {
  return (options.reservedSessions ?? 1) * sessionBytes(spec, sizes, reservedContext(spec, options));
}

/** One by one, so that every expert comes into the slot of its number. */
async function loadAllExperts({ pager }: Parts, plan: MemoryPlan, signal: AbortSignal | undefined): Promise<void> {
  if (plan.slotsPerLayer < plan.expertsPerLayer) {
    throw new UsageError(`allResident needs a slot for every expert: a budget of ${plan.fullBudgetBytes} bytes.`, {
      details: { smallestBytes: plan.fullBudgetBytes },
    });
  }
  for (const [moe, { resident }] of pager.residentFlags().entries()) {
    for (const expert of resident.keys()) await pager.acquire([{ moe, experts: [expert], guess: false }], { signal });
  }
}

async function buildParts(
  gpu: Gpu,
  weights: WeightMap,
  spec: ModelSpec,
  sizes: Sizes,
  needs: MemoryNeeds,
  plan: MemoryPlan,
  options: EngineOptions,
): Promise<Parts> {
  let loadedBytes = 0;
  const onBytes = (bytes: number): void => {
    loadedBytes += bytes;
    options.onProgress?.(loadedBytes, needs.denseBytes);
  };
  onBytes(0);
  await weights.checkSkipped(options.signal);
  const deviceWeights = await loadDeviceWeights(gpu, weights, options.signal, onBytes);
  const ram = new RamTier(
    options.readExpert ?? ((layer, expert, { signal }) => weights.readExpert(layer, expert, signal)),
    options.ramBudgetBytes ?? 0,
  );
  const layers = moeLayers(spec);
  const paged = layers.map(({ layer, mlp: { numExperts, topK } }, moe): PagedLayer => {
    const geometry = needs.layers[moe]?.geometry;
    if (!geometry) throw new RangeError(`MoE layer ${moe} has no plan`);
    const read: PagedLayer["read"] = (expert, how) => ram.read(layer, expert, how);
    const raise = (expert: number): void => options.raiseExpert?.(layer, expert);
    return { layer, numExperts, topK, geometry, read, raise };
  });
  const ropeFactors =
    spec.ropeFactors === undefined ? undefined : await weights.readVector("ropeFactors", options.signal);
  const [pager, scratch] = await gpu.ledger.checked("slots and working memory", (): [Pager, Scratch] => [
    new Pager(gpu, paged, options.policy ?? DEFAULT_POLICY, plan.slotsPerLayer),
    createScratch(gpu, spec, sizes, ropeFactors),
  ]);
  return {
    gpu,
    spec,
    sizes,
    host: new KernelHost(gpu, options.tuning ?? tuningOf(gpu)),
    weights: deviceWeights,
    scratch,
    ram,
    pager,
    allResident: options.allResident ?? false,
    expertLayouts: layers.map(({ layer }) => weights.expertLayout(layer)),
  };
}
