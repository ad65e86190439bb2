/**
 * Runs single steps of the forward pass and keeps account of them: what they cost, what they chose, and who wants to
 * know. Which tokens to run, and when, is the session's business.
 */
import type { QueueCounts } from "../gpu/queue.ts";
import { type Advice, Governor, WINDOW_FADE } from "../pager/governor.ts";
import { RoutingTrace } from "../pager/routing-trace.ts";
import { type EngineCounts, newCounts } from "./counters.ts";
import { finishStep, type StartedStep, type StepRequest, startStep } from "./decode-step.ts";
import type { HistoryReads } from "./history-reads.ts";
import type { Parts } from "./parts.ts";
import { type ChunkEnd, type PrefillPlan, runPrefill } from "./prefill.ts";
import type { Routing } from "./routing.ts";
import { type ReachOptions, RunAhead } from "./run-ahead.ts";
import { writeStep } from "./scratch.ts";
import { moeLayers } from "./sizes.ts";
import { StepClock } from "./step-clock.ts";
import type { LayerPaging, StepEvent } from "./types.ts";

/** A finished step, as the books see it. */
interface Finished {
  readonly phase: "prefill" | "decode";
  /** Position of its first token. */
  readonly position: number;
  readonly tokens: number;
  /** Per MoE layer. */
  readonly routing: readonly Routing[];
  readonly clock: StepClock;
}

/** Clean steps in a row from which on the next one is queued ahead. */
const CLEAN_RUN = 2;

export class Steps {
  readonly counts: EngineCounts = newCounts();
  readonly trace = new RoutingTrace();
  /** Reads ahead by routing history, where that is wanted. */
  history: HistoryReads | undefined;
  listener: ((event: StepEvent) => void) | undefined;
  readonly #parts: Parts;
  readonly runAhead: RunAhead;
  /** MoE layers in order: index in the model and top-k. */
  readonly #moe: readonly { readonly layer: number; readonly topK: number }[];
  readonly #governor: Governor;
  /** Choices of decoded tokens, and those found resident, that fade as the governor's do. */
  readonly #late = { hits: 0, picks: 0 };
  #prefillStart = 0;
  #lastDecodeEnd = 0;
  #cleanRun = 0;

  constructor(parts: Parts, reach: ReachOptions) {
    this.#parts = parts;
    this.runAhead = new RunAhead(parts.sizes.numMoeLayers, reach);
    this.#governor = new Governor(moeLayers(parts.spec).map(({ mlp }) => mlp.numExperts));
    this.#moe = moeLayers(parts.spec).map(({ layer, mlp }) => ({ layer, topK: mlp.topK }));
  }

  /** Submits the first round of a decode step; `finish` or `drop` it before anything else runs. */
  start(request: StepRequest): StartedStep {
    if (request.id === null) this.counts.queuedSteps += 1;
    return this.#counted(() => startStep(this.#parts, this.runAhead, request, this.#watched));
  }

  /** Sees a started decode step through. @returns the bytes of its reads. */
  async finish(step: StartedStep, signal: AbortSignal | undefined): Promise<ArrayBuffer> {
    if (signal?.aborted) {
      await step.round.catch(() => {}); // its read-back holds memory that the next step's would come on top of
      signal.throwIfAborted();
    }
    const start = Math.max(step.startedAt, this.#lastDecodeEnd);
    const clock = new StepClock(start, this.#watched);
    const { queue } = this.#parts.gpu;
    const before = { ...queue.counts };
    const { routing, bytes, rounds, scouts } = await finishStep(this.#parts, this.runAhead, step, clock, signal);
    const { counts } = this;
    counts.decodeTokens += 1;
    this.#lastDecodeEnd = performance.now();
    counts.decodeMs += this.#lastDecodeEnd - start;
    this.#addCounts(before);
    counts.decodeRounds += rounds;
    counts.scouts += scouts;
    if (rounds === 1) counts.cleanSteps += 1;
    this.#cleanRun = rounds === 1 ? this.#cleanRun + 1 : 0;
    this.tokenDrawn();
    this.#parts.pager.advance(1);
    for (const [moe, { expertIds }] of routing.entries()) {
      this.#parts.pager.touch(moe, new Map(Array.from(expertIds, (expert) => [expert, { count: 1, back: 0 }])));
    }
    this.#book({ phase: "decode", position: step.position, tokens: 1, routing, clock });
    return bytes;
  }

  /** What a quarter more or fewer slots would do, as decoded tokens have chosen of late. */
  advice(slotsPerLayer: number): Advice {
    return this.#governor.advise(slotsPerLayer, this.#late.picks > 0 ? this.#late.hits / this.#late.picks : undefined);
  }

  /** What was resident is not any more. */
  deviceLost(): void {
    this.counts.deviceLosses += 1;
    this.#cleanRun = 0;
  }

  /** Whether the last steps were clean, so that the next one may be queued before it is known whether this one is. */
  get expectsClean(): boolean {
    return this.#cleanRun >= CLEAN_RUN;
  }

  /** Waits for a queued step that nobody wants any more. */
  async drop(step: StartedStep): Promise<void> {
    this.counts.queuedStepsDropped += 1;
    await step.round.catch(() => {}); // a lost device is told by the next call
  }

  /** One prefill chunk of `ids` from `position`, with what it is to `end` in. */
  async prefill(
    plan: PrefillPlan,
    ids: readonly number[],
    position: number,
    end: ChunkEnd,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    signal?.throwIfAborted();
    const start = performance.now();
    const clock = new StepClock(start, this.#watched);
    const { gpu, scratch } = this.#parts;
    gpu.queue.write(scratch.buffers.ids, 0, new Uint32Array(ids));
    writeStep(gpu, scratch, position, ids.length);
    await this.#parts.pager.endGuesses(); // a wave's experts stay where it found them
    this.#parts.pager.advance(ids.length);
    const routing = await runPrefill(this.#parts, plan, ids.length, end, clock, signal);
    if (routing.length === 0) await gpu.queue.idle(); // nothing was read back, so chunks would pile up beyond an abort
    this.counts.prefillTokens += ids.length;
    this.counts.prefillMs += performance.now() - start;
    this.#book({ phase: "prefill", position, tokens: ids.length, routing, clock });
  }

  /** A prefill that a caller asked for begins: the clock of the time to first token starts. */
  prefillBegan(): void {
    this.#prefillStart = performance.now();
  }

  /** A token, or the logits that stand for it, reached the caller: the first one stops that clock. */
  tokenDrawn(): void {
    if (this.#prefillStart === 0) return;
    this.counts.timeToFirstTokenMs = performance.now() - this.#prefillStart;
    this.#prefillStart = 0;
  }

  get #watched(): boolean {
    return this.listener !== undefined;
  }

  #counted<T>(submit: () => T): T {
    const before = { ...this.#parts.gpu.queue.counts };
    const result = submit();
    this.#addCounts(before);
    return result;
  }

  /** What the queue did since `before` was for decode steps. */
  #addCounts(before: QueueCounts): void {
    const { counts } = this;
    const now = this.#parts.gpu.queue.counts;
    counts.decodeSubmissions += now.submissions - before.submissions;
    counts.decodeDispatches += now.dispatches - before.dispatches;
    counts.decodeReadbacks += now.readbacks - before.readbacks;
    counts.decodeWeightBytesRead += now.weightBytesRead - before.weightBytesRead;
  }

  #book(step: Finished): void {
    const changes = this.#parts.pager.takeChanges();
    if (step.phase === "decode" && step.routing.length > 0) {
      this.#learn(
        step.routing.map(({ expertIds }) => [...expertIds]),
        changes.map(({ fetched }) => fetched),
      );
    }
    let [hits, picks] = [0, 0];
    const layers = step.routing.map(({ expertIds }, moe): LayerPaging => {
      const { fetched, evicted } = changes[moe] ?? { fetched: [], evicted: [] };
      const experts = [...new Set(expertIds)];
      const missed = experts.filter((expert) => fetched.includes(expert)).length;
      this.counts.expertMisses += missed;
      this.counts.expertHits += experts.length - missed;
      if (step.phase === "decode") {
        hits += experts.length - missed;
        picks += experts.length;
      }
      const chosen = step.phase === "decode" ? experts : experts.sort((a, b) => a - b);
      return { layer: this.#moe[moe]?.layer ?? 0, chosen, fetched, evicted };
    });
    if (picks > 0) {
      this.#late.hits = this.#late.hits * WINDOW_FADE + hits;
      this.#late.picks = this.#late.picks * WINDOW_FADE + picks;
    }
    this.#record(step);
    const { phase, tokens, position, clock } = step;
    clock.until("compute", performance.now());
    const { ms, times } = clock;
    this.listener?.({ phase, position: position + tokens - 1, tokens, layers, ms, times });
  }

  /** What a token chose [MoE layers][topK], and what of it had to be fetched. */
  #learn(chosen: readonly (readonly number[])[], fetched: readonly (readonly number[])[]): void {
    this.#governor.observe(chosen);
    this.history?.tokenEnded(chosen, fetched);
  }

  #record({ phase, position, tokens, routing }: Finished): void {
    for (let token = 0; token < tokens; token++) {
      routing.forEach(({ expertIds, routingWeights }, moe) => {
        const { layer = 0, topK = 0 } = this.#moe[moe] ?? {};
        const ids = expertIds.subarray(token * topK, (token + 1) * topK);
        const weights = routingWeights.subarray(token * topK, (token + 1) * topK);
        this.trace.add(phase === "decode" ? 1 : 0, position + token, layer, ids, weights);
      });
    }
  }
}
