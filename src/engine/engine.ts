/**
 * A loaded model: its weights on the GPU, its pager, its sessions and counters. Takes a GPU and a weight map, never a
 * page: it runs in any WebGPU host. Steps of all sessions run one after another, since they share the scratch buffers.
 */
import { UsageError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Command, Span } from "../gpu/queue.ts";
import { KernelHost, type Tuning } from "../kernels/kernel.ts";
import type { ModelSpec } from "../models/spec.ts";
import { Pager } from "../pager/pager.ts";
import type { PolicyName } from "../pager/policy.ts";
import { RoutingTrace } from "../pager/routing-trace.ts";
import type { WeightMap } from "../weights/weight-map.ts";
import { type EngineCounts, newCounts, type SourceCounts, snapshot } from "./counters.ts";
import type { DecodePlan } from "./decode.ts";
import { runDecodeStep } from "./decode-step.ts";
import { loadDeviceWeights } from "./device-weights.ts";
import { createKvCache } from "./kv-cache.ts";
import { type MemoryNeeds, memoryNeeds, planMemory, sessionBytes } from "./memory-plan.ts";
import type { Parts } from "./parts.ts";
import { type PrefillPlan, runPrefill } from "./prefill.ts";
import type { Routing } from "./routing.ts";
import { createScratch, ropeAngles } from "./scratch.ts";
import { Session } from "./session.ts";
import { modelSizes, moeLayers, type Sizes } from "./sizes.ts";
import type { LayerPaging, MemoryPlan, ResidencyLayer, Stats, StepEvent, TraceRow } from "./types.ts";
import { STORAGE_USAGE } from "../gpu/usage.ts";

export interface EngineOptions {
  /** Bytes of all GPU buffers together; `undefined` = all that is useful. */
  readonly gpuBudgetBytes?: number | undefined;
  /** Tokens of KV cache reserved within the budget. */
  readonly contextLength?: number | undefined;
  readonly policy?: PolicyName | undefined;
  /** MoE layers past the first missing one whose likely experts are fetched with it. */
  readonly runAhead?: number | undefined;
  readonly tuning?: Tuning | undefined;
  /** Tokens of a prefill chunk. */
  readonly prefillChunk?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Hears the GPU bytes of dense weights as they land, of how many. */
  readonly onProgress?: ((loadedBytes: number, totalBytes: number) => void) | undefined;
  /** Counts of the sources behind the weight map. */
  readonly sourceCounts?: SourceCounts | undefined;
}

const DEFAULT_CONTEXT = 2048;
// A software adapter runs a workgroup's threads in turn: few lanes. A GPU wants neighbours to read neighbouring words.
const SOFTWARE_TUNING: Tuning = { lanes: 4, rows: 16 };
const GPU_TUNING: Tuning = { lanes: 32, rows: 4 };

export class Engine {
  readonly gpu: Gpu;
  readonly spec: ModelSpec;
  readonly sizes: Sizes;
  readonly parts: Parts;
  /** Grows when slots change place, which makes recorded plans void. */
  generation = 0;
  readonly #needs: MemoryNeeds;
  readonly #options: EngineOptions;
  readonly #sessions = new Map<Session, number>();
  readonly #counts: EngineCounts = newCounts();
  readonly #sources: SourceCounts;
  readonly #trace = new RoutingTrace();
  #plan: MemoryPlan;
  #listener: ((event: StepEvent) => void) | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #prefillStart = 0;
  #disposed = false;

  /** @internal */
  constructor(parts: Parts, needs: MemoryNeeds, plan: MemoryPlan, options: EngineOptions) {
    this.parts = parts;
    this.gpu = parts.gpu;
    this.spec = parts.spec;
    this.sizes = parts.sizes;
    this.#needs = needs;
    this.#plan = plan;
    this.#options = options;
    this.#sources = options.sourceCounts ?? { networkBytes: 0, fileBytes: 0, memoryBytes: 0, retries: 0 };
  }

  /**
   * Loads the dense weights and lays out the slots. What it throws leaves no buffer behind.
   * @throws BudgetError before anything is read; SourceError, DeviceError, `AbortError`.
   */
  static async create(gpu: Gpu, weights: WeightMap, spec: ModelSpec, options: EngineOptions = {}): Promise<Engine> {
    const sizes = modelSizes(spec, options.prefillChunk);
    const needs = memoryNeeds(spec, weights, sizes, gpu.facts.maxBindingBytes);
    const plan = planMemory(needs, sessionBytes(spec, sizes, reservedContext(spec, options)), options.gpuBudgetBytes);
    try {
      let loaded = 0;
      options.onProgress?.(0, needs.denseBytes);
      const onBytes = (bytes: number) => options.onProgress?.((loaded += bytes), needs.denseBytes);
      const deviceWeights = await loadDeviceWeights(gpu, weights, options.signal, onBytes);
      const layers = moeLayers(spec);
      const pager = await gpu.ledger.checked("slots and working memory", () => {
        const paged = layers.map(({ layer, mlp: { numExperts, topK } }, moe) => {
          const geometry = needs.layers[moe]?.geometry;
          if (!geometry) throw new RangeError(`MoE layer ${moe} has no plan`);
          const read = (expert: number, signal?: AbortSignal) => weights.readExpert(layer, expert, signal);
          return { layer, numExperts, topK, geometry, read };
        });
        return new Pager(gpu, paged, options.policy ?? "lfru", plan.slotsPerLayer);
      });
      const scratch = await gpu.ledger.checked("working memory", () => createScratch(gpu, spec, sizes));
      const tuning = options.tuning ?? (gpu.facts.isFallback ? SOFTWARE_TUNING : GPU_TUNING);
      const host = new KernelHost(gpu, tuning);
      const expertLayouts = layers.map(({ layer }) => weights.expertLayout(layer));
      return new Engine({ gpu, spec, sizes, host, weights: deviceWeights, scratch, pager, expertLayouts }, needs, plan, options);
    } catch (error) {
      gpu.ledger.destroyAll();
      throw error;
    }
  }

  /** @throws BudgetError when its cache leaves too little for the experts; UsageError for a senseless length. */
  createSession(contextLength = reservedContext(this.spec, this.#options)): Promise<Session> {
    return this.exclusive(async () => {
      if (!Number.isInteger(contextLength) || contextLength < 1 || contextLength > this.spec.contextLength) {
        throw new UsageError(
          `contextLength ${contextLength}: expected a whole number from 1 to the model's ${this.spec.contextLength}.`,
        );
      }
      const bytes = sessionBytes(this.spec, this.sizes, contextLength);
      await this.#resize(this.#plan.budgetBytes, this.#sessionBytes() + bytes);
      const kv = await createKvCache(this.gpu, this.spec, contextLength, this.sizes.chunk);
      const logits = this.gpu.ledger.create("scratch", "logits", this.sizes.vocab * 4, STORAGE_USAGE);
      const session = new Session(this, kv, logits, contextLength);
      this.#sessions.set(session, bytes);
      return session;
    });
  }

  /** Changes the budget between two steps. @throws BudgetError naming the smallest that works; nothing changed then. */
  setBudget(gpuBudgetBytes: number): Promise<MemoryPlan> {
    return this.exclusive(() => this.#resize(gpuBudgetBytes, this.#sessionBytes()));
  }

  memory(): MemoryPlan {
    return this.#plan;
  }

  stats(): Stats {
    const kv = [...this.#sessions.keys()].reduce((sum, session) => sum + session.kvBytes, 0);
    return snapshot(this.#counts, this.#sources, this.parts.pager, this.gpu, kv);
  }

  residency(): ResidencyLayer[] {
    return this.parts.pager.residentFlags();
  }

  /** Calls `listener` after every step. */
  watch(listener: ((event: StepEvent) => void) | undefined): void {
    this.#listener = listener;
  }

  startTrace(): void {
    this.#trace.start();
  }

  takeTrace(): TraceRow[] {
    return this.#trace.take();
  }

  /** Frees every buffer; the GPU itself is the caller's. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const session of [...this.#sessions.keys()]) session.dispose();
    this.gpu.ledger.destroyAll();
  }

  /** Runs `task` when every earlier one has ended. */
  exclusive<T>(task: () => Promise<T>): Promise<T> {
    const run = this.#queue.then(() => {
      if (this.#disposed) throw new UsageError("This model was disposed. Load it again to use it.");
      return task();
    });
    this.#queue = run.catch(() => {});
    return run;
  }

  /** @internal */
  forget(session: Session): void {
    this.#sessions.delete(session);
  }

  /** @internal One decode step of `id` at `position`. @returns the bytes of `reads`. */
  async decodeStep(
    plan: DecodePlan,
    id: number,
    position: number,
    reads: readonly Span[],
    then: readonly Command[],
    signal: AbortSignal | undefined,
  ): Promise<ArrayBuffer> {
    signal?.throwIfAborted();
    const start = performance.now();
    const before = { ...this.gpu.queue.counts };
    this.#writeStep([id], position);
    const runAhead = this.#options.runAhead ?? Number.POSITIVE_INFINITY;
    const { routing, bytes, rounds } = await runDecodeStep(this.parts, plan, { then, reads, runAhead, signal });
    const now = this.gpu.queue.counts;
    const counts = this.#counts;
    counts.decodeTokens += 1;
    counts.decodeMs += performance.now() - start;
    counts.decodeSubmissions += now.submissions - before.submissions;
    counts.decodeDispatches += now.dispatches - before.dispatches;
    counts.decodeReadbacks += now.readbacks - before.readbacks;
    counts.decodeRounds += rounds;
    if (rounds === 1) counts.cleanSteps += 1;
    this.tokenDrawn();
    this.#finishStep("decode", position, routing, start);
    return bytes;
  }

  /** @internal One prefill chunk of `ids` from `position`; logits of its last token when it is the `last` chunk. */
  async prefillStep(
    plan: PrefillPlan,
    ids: readonly number[],
    position: number,
    last: boolean,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    signal?.throwIfAborted();
    const start = performance.now();
    this.#writeStep(ids, position);
    const routed = await runPrefill(this.parts, plan, ids.length, last, signal);
    this.#counts.prefillTokens += ids.length;
    this.#counts.prefillMs += performance.now() - start;
    this.#finishStep("prefill", position, routed.map(({ routing }) => routing), start);
  }

  #writeStep(ids: readonly number[], position: number): void {
    const { queue } = this.gpu;
    const { scratch } = this.parts;
    queue.write(scratch.buffers.ids, 0, new Uint32Array(ids));
    queue.write(scratch.step, 0, new Uint32Array([position, ids.length, 0, 0]));
    for (const table of scratch.rope) queue.write(table.buffer, 0, ropeAngles(table, position, ids.length));
  }

  /** Counts hits, tells the policies, the trace and the listener what a finished step chose. */
  #finishStep(phase: "prefill" | "decode", position: number, routing: readonly Routing[], start: number): void {
    const layers = moeLayers(this.spec);
    const changes = this.parts.pager.takeChanges();
    const uses = routing.map(({ expertIds }) => countUses(expertIds));
    const tokens = routing[0] ? routing[0].expertIds.length / (layers[0]?.mlp.topK ?? 1) : 1;
    this.parts.pager.touch(uses, tokens);
    const paging = uses.map((layerUses, moe): LayerPaging => {
      const { fetched, evicted } = changes[moe] ?? { fetched: [], evicted: [] };
      const experts = [...layerUses.keys()];
      const missed = experts.filter((expert) => fetched.includes(expert)).length;
      this.#counts.expertMisses += missed;
      this.#counts.expertHits += experts.length - missed;
      const chosen = phase === "decode" ? experts : experts.sort((a, b) => a - b);
      return { layer: layers[moe]?.layer ?? 0, chosen, fetched, evicted };
    });
    this.#record(phase, position, routing);
    const ms = performance.now() - start;
    this.#listener?.({ phase, position: position + tokens - 1, tokens, layers: paging, ms });
  }

  #record(phase: "prefill" | "decode", position: number, routing: readonly Routing[]): void {
    const layers = moeLayers(this.spec);
    const tokens = routing[0] ? routing[0].expertIds.length / (layers[0]?.mlp.topK ?? 1) : 0;
    for (let token = 0; token < tokens; token++) {
      routing.forEach(({ expertIds, routingWeights }, moe) => {
        const topK = layers[moe]?.mlp.topK ?? 1;
        const ids = expertIds.subarray(token * topK, (token + 1) * topK);
        const weights = routingWeights.subarray(token * topK, (token + 1) * topK);
        this.#trace.add(phase === "decode" ? 1 : 0, position + token, layers[moe]?.layer ?? 0, ids, weights);
      });
    }
  }

  /** @internal A prefill that a caller asked for begins: the clock of the time to first token starts. */
  prefillBegan(): void {
    this.#prefillStart = performance.now();
  }

  /** @internal A token, or the logits that stand for it, reached the caller: the first one stops that clock. */
  tokenDrawn(): void {
    if (this.#prefillStart === 0) return;
    this.#counts.timeToFirstTokenMs = performance.now() - this.#prefillStart;
    this.#prefillStart = 0;
  }

  async #resize(budgetBytes: number, liveSessionBytes: number): Promise<MemoryPlan> {
    const reserved = sessionBytes(this.spec, this.sizes, reservedContext(this.spec, this.#options));
    const plan = planMemory(this.#needs, Math.max(reserved, liveSessionBytes), budgetBytes);
    if (plan.slotsPerLayer !== this.#plan.slotsPerLayer) {
      await this.parts.pager.resize(plan.slotsPerLayer);
      this.parts.host.reset();
      this.generation += 1;
    }
    this.#plan = plan;
    return plan;
  }

  #sessionBytes(): number {
    return [...this.#sessions.values()].reduce((sum, bytes) => sum + bytes, 0);
  }
}

function reservedContext(spec: ModelSpec, options: EngineOptions): number {
  return Math.min(spec.contextLength, options.contextLength ?? DEFAULT_CONTEXT);
}

/** How many tokens chose each expert, in order of first choice. */
function countUses(expertIds: Uint32Array): Map<number, number> {
  const uses = new Map<number, number>();
  for (const expert of expertIds) uses.set(expert, (uses.get(expert) ?? 0) + 1);
  return uses;
}
