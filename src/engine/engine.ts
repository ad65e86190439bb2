/**
 * A loaded model: its weights on the GPU, its pager, its sessions and counters. Takes a GPU and a weight map, never a
 * page: it runs in any WebGPU host. Steps of all sessions run one after another, since they share the scratch buffers.
 */
import { UsageError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { STORAGE_USAGE } from "../gpu/usage.ts";
import type { ModelSpec } from "../models/spec.ts";
import type { Advice } from "../pager/governor.ts";
import type { WeightMap } from "../weights/weight-map.ts";
import { buildParts, loadAllExperts } from "./build-parts.ts";
import { newSourceCounts, type SourceCounts, snapshot } from "./counters.ts";
import { fewerSlots, fitSlots, isRefusal } from "./fit-slots.ts";
import { HistoryReads } from "./history-reads.ts";
import { createKvCache } from "./kv-cache.ts";
import { leastSlots, type MemoryNeeds, memoryNeeds, planMemory, sessionBytes, withSlots } from "./memory-plan.ts";
import { checkContext, checkOptions, type EngineOptions, reservedContext } from "./options.ts";
import type { Parts } from "./parts.ts";
import { Revival } from "./revive.ts";
import { Session, type SessionHost } from "./session.ts";
import type { QueuedStep } from "./session-draws.ts";
import { modelSizes, PREDICTIONS, type Sizes } from "./sizes.ts";
import { Steps } from "./steps.ts";
import { lostAgain, MAX_LOSSES, Turns } from "./turns.ts";
import type { MemoryPlan, ModelWarning, ResidencyLayer, Stats, StepEvent, TraceRow } from "./types.ts";

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
  readonly #turns: Turns<QueuedStep>;
  readonly #revival: Revival;
  readonly #ending = new AbortController();
  #plan: MemoryPlan;
  /** What the caller set, or what the GPU's refusal has shown; `undefined`: whatever is of use, for as long as it is given. */
  #budgetBytes: number | undefined;

  /** @internal */
  constructor(parts: Parts, weights: WeightMap, needs: MemoryNeeds, plan: MemoryPlan, options: EngineOptions) {
    this.parts = parts;
    this.gpu = parts.gpu;
    this.spec = parts.spec;
    this.sizes = parts.sizes;
    this.steps = new Steps(parts, { layers: options.runAhead ?? "auto", hints: options.extraGuesses ?? "auto" });
    this.#needs = needs;
    this.#plan = plan;
    this.#budgetBytes = options.gpuBudgetBytes;
    this.#options = options;
    this.steps.history =
      options.prefetch === "history" ? new HistoryReads(parts.spec, parts.pager, parts.ram) : undefined;
    this.#sources = options.sourceCounts ?? newSourceCounts();
    this.#revival = new Revival(parts, weights, this.#ending.signal, {
      lost: () => this.#forgetDevice(),
      reopened: (message) => this.#warn({ code: "device-lost", message }),
      fillSlots: () => this.#fillSlots(),
    });
    this.#turns = new Turns({
      loss: this.gpu.loss,
      check: () => this.#check(),
      restore: () => this.#revival.restore(),
      drop: ({ step }) => this.steps.drop(step),
    });
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
    for (let losses = 0; ; losses++) {
      try {
        const parts = await buildParts(gpu, weights, spec, sizes, needs, options);
        const engine = new Engine(parts, weights, needs, plan, options);
        engine.steps.counts.deviceLosses += losses;
        await engine.#becomeReady(options.signal);
        return engine;
      } catch (error) {
        gpu.ledger.destroyAll();
        options.signal?.throwIfAborted();
        if (!(await gpu.loss.isGone())) throw error;
        if (losses >= MAX_LOSSES) throw lostAgain(gpu.loss.error, losses + 1);
        await gpu.reopen(options.signal);
        options.onWarning?.({
          code: "device-lost",
          message: "The GPU device was lost while loading, which began anew.",
        });
      }
    }
  }

  /** Brings the slots. */
  async #becomeReady(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    const stop = () => this.#ending.abort();
    signal?.addEventListener("abort", stop);
    try {
      await this.exclusive(async () => {});
      signal?.throwIfAborted();
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  }

  /**
   * A session with a cache of its own. Within the caches that are reserved it changes nothing else; beyond those it takes
   * memory that the slots do not have where no budget was set, and slots where one was, or where the GPU refuses.
   * @throws BudgetError when its cache leaves too little for the experts; UsageError for a senseless length; `AbortError`,
   *   and nothing of it is left then.
   */
  createSession(contextLength = reservedContext(this.spec, this.#options), signal?: AbortSignal): Promise<Session> {
    return this.exclusive(async () => {
      checkContext(contextLength, this.spec.contextLength);
      const bytes = sessionBytes(this.spec, this.sizes, contextLength);
      await this.#resize(this.#budgetBytes, this.#sessionBytes() + bytes);
      let session: Session | undefined;
      try {
        signal?.throwIfAborted();
        const kv = await this.#yielding(() => createKvCache(this.gpu, this.spec, contextLength, this.sizes.chunk));
        const logits = this.gpu.ledger.create("scratch", "logits", this.sizes.vocab * 4, STORAGE_USAGE);
        session = new Session(this, kv, logits, contextLength);
        this.#sessions.set(session, bytes);
        await session.prepare(signal);
        return session;
      } catch (error) {
        session?.dispose();
        await this.#resize(this.#budgetBytes, this.#sessionBytes()).catch(() => {}); // the next task makes what is missing
        throw error;
      }
    }, signal);
  }

  /** Frees a session between two steps, and gives back to the slots what it had taken of them. */
  disposeSession(session: Session): Promise<void> {
    return this.exclusive(async () => {
      session.dispose();
      await this.#resize(this.#budgetBytes, this.#sessionBytes());
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
    if (this.#ending.signal.aborted) return;
    this.#ending.abort();
    for (const session of [...this.#sessions.keys()]) session.dispose();
    this.steps.history?.dispose();
    void this.parts.pager.endGuesses();
    this.parts.ram.clear();
    this.gpu.queue.dispose();
    this.gpu.ledger.close();
  }

  /**
   * Runs `task` when every earlier one has ended, and again when the device is lost under it. An abort ends the wait; what
   * has begun must look at the signal itself.
   */
  exclusive<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#turns.run(task, signal);
  }

  /** @internal */
  exclusiveDraw<T>(task: (queued: QueuedStep | undefined) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#turns.runWithQueued(task, signal);
  }

  /** @internal */
  keepQueued(step: QueuedStep): void {
    this.#turns.keep(step);
  }

  /** @internal A session that was disposed. */
  forget(session: Session): void {
    this.#sessions.delete(session);
  }

  async #resize(budgetBytes: number | undefined, liveSessionBytes: number): Promise<MemoryPlan> {
    const reserved = reservedBytes(this.spec, this.sizes, this.#options);
    const plan = planMemory(this.#needs, Math.max(reserved, liveSessionBytes), budgetBytes);
    const before = this.#budgetBytes;
    this.#budgetBytes = budgetBytes;
    if (plan.slotsPerLayer === this.#plan.slotsPerLayer) {
      this.#plan = plan;
      return plan;
    }
    if (this.parts.allResident) {
      this.#budgetBytes = before;
      throw new UsageError("A model with allResident keeps every expert on the GPU: load it without to change that.");
    }
    return this.#makeSlots(plan);
  }

  /** The slots of `plan`, or fewer where the GPU refuses memory for so many; what then holds is the plan from here on. */
  async #makeSlots(plan: MemoryPlan): Promise<MemoryPlan> {
    const { pager, host, allResident } = this.parts;
    const least = allResident ? plan.slotsPerLayer : leastSlots(this.#needs);
    try {
      const slots = await fitSlots(pager, plan.slotsPerLayer, this.#plan.slotsPerLayer, least);
      this.#plan = slots < plan.slotsPerLayer ? this.#lowered(plan, slots) : plan;
      return this.#plan;
    } catch (error) {
      this.#revival.slotsMissing();
      throw error;
    } finally {
      host.reset();
      this.generation += 1;
    }
  }

  /** Runs `make`, giving up slots for as long as the GPU refuses it memory. */
  async #yielding<T>(make: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await make();
      } catch (error) {
        const slots = fewerSlots(this.#plan.slotsPerLayer, leastSlots(this.#needs));
        if (!isRefusal(error) || this.parts.allResident || slots === undefined) throw error;
        await this.#makeSlots(this.#lowered(this.#plan, slots));
      }
    }
  }

  #lowered(plan: MemoryPlan, slots: number): MemoryPlan {
    const lower = withSlots(this.#needs, plan, slots);
    this.#budgetBytes = lower.budgetBytes;
    this.steps.counts.budgetsLowered += 1;
    this.#warn({
      code: "budget-lowered",
      message:
        `The GPU has no memory for a budget of ${plan.budgetBytes} bytes: it is ${lower.budgetBytes} now, with ${slots} ` +
        `experts a layer instead of ${plan.slotsPerLayer}. Results stay the same; more experts will be fetched.`,
    });
    return lower;
  }

  /** After a lost device: nothing that was on it is there. */
  #forgetDevice(): void {
    this.steps.deviceLost();
    for (const session of this.#sessions.keys()) session.forgetCache();
    this.generation += 1;
  }

  async #fillSlots(): Promise<void> {
    await this.#makeSlots(this.#plan);
    if (this.parts.allResident) await loadAllExperts(this.parts, this.#plan, this.#ending.signal);
  }

  #warn(warning: ModelWarning): void {
    this.#options.onWarning?.(warning);
  }

  #check(): void {
    if (!this.#ending.signal.aborted) return;
    throw new UsageError("This model was disposed. Load it again to use it.", { code: "disposed" });
  }

  #sessionBytes(): number {
    return [...this.#sessions.values()].reduce((sum, bytes) => sum + bytes, 0);
  }
}

/** Caches that the plan keeps room for, whether or not their sessions are alive. */
function reservedBytes(spec: ModelSpec, sizes: Sizes, options: EngineOptions): number {
  return (options.reservedSessions ?? 1) * sessionBytes(spec, sizes, reservedContext(spec, options));
}
