/**
 * Runs single steps of the forward pass and keeps account of them: what they cost, what they chose, and who wants to
 * know. Which tokens to run, and when, is the session's business.
 */
import type { Command, Span } from "../gpu/queue.ts";
import { RoutingTrace } from "../pager/routing-trace.ts";
import { type EngineCounts, newCounts } from "./counters.ts";
import type { DecodePlan } from "./decode.ts";
import { runDecodeStep } from "./decode-step.ts";
import type { Parts } from "./parts.ts";
import { type PrefillPlan, runPrefill } from "./prefill.ts";
import type { Routing } from "./routing.ts";
import { ropeAngles } from "./scratch.ts";
import { moeLayers } from "./sizes.ts";
import type { LayerPaging, StepEvent } from "./types.ts";

/** A finished step, as the books see it. */
interface Finished {
  readonly phase: "prefill" | "decode";
  /** Position of its first token. */
  readonly position: number;
  readonly tokens: number;
  /** Per MoE layer. */
  readonly routing: readonly Routing[];
  readonly start: number;
}

export class Steps {
  readonly counts: EngineCounts = newCounts();
  readonly trace = new RoutingTrace();
  listener: ((event: StepEvent) => void) | undefined;
  readonly #parts: Parts;
  readonly #runAhead: number;
  /** MoE layers in order: index in the model and top-k. */
  readonly #moe: readonly { readonly layer: number; readonly topK: number }[];
  #prefillStart = 0;

  constructor(parts: Parts, runAhead: number) {
    this.#parts = parts;
    this.#runAhead = runAhead;
    this.#moe = moeLayers(parts.spec).map(({ layer, mlp }) => ({ layer, topK: mlp.topK }));
  }

  /** One decode step of `id` at `position`, with the commands `then` behind it. @returns the bytes of `reads`. */
  async decode(
    plan: DecodePlan,
    id: number,
    position: number,
    reads: readonly Span[],
    then: readonly Command[],
    signal: AbortSignal | undefined,
  ): Promise<ArrayBuffer> {
    signal?.throwIfAborted();
    const start = performance.now();
    const { queue } = this.#parts.gpu;
    const before = { ...queue.counts };
    this.#write([id], position);
    const request = { then, reads, runAhead: this.#runAhead, signal };
    const { routing, bytes, rounds } = await runDecodeStep(this.#parts, plan, request);
    const { counts } = this;
    counts.decodeTokens += 1;
    counts.decodeMs += performance.now() - start;
    counts.decodeSubmissions += queue.counts.submissions - before.submissions;
    counts.decodeDispatches += queue.counts.dispatches - before.dispatches;
    counts.decodeReadbacks += queue.counts.readbacks - before.readbacks;
    counts.decodeWeightBytesRead += queue.counts.weightBytesRead - before.weightBytesRead;
    counts.decodeRounds += rounds;
    if (rounds === 1) counts.cleanSteps += 1;
    this.tokenDrawn();
    this.#finish({ phase: "decode", position, tokens: 1, routing, start });
    return bytes;
  }

  /** One prefill chunk of `ids` from `position`; with the logits of its last token when it is the `last` chunk. */
  async prefill(
    plan: PrefillPlan,
    ids: readonly number[],
    position: number,
    last: boolean,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    signal?.throwIfAborted();
    const start = performance.now();
    this.#write(ids, position);
    const routed = await runPrefill(this.#parts, plan, ids.length, last, signal);
    this.counts.prefillTokens += ids.length;
    this.counts.prefillMs += performance.now() - start;
    const routing = routed.map((chunk) => chunk.routing);
    this.#finish({ phase: "prefill", position, tokens: ids.length, routing, start });
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

  #write(ids: readonly number[], position: number): void {
    const { gpu, scratch } = this.#parts;
    gpu.queue.write(scratch.buffers.ids, 0, new Uint32Array(ids));
    gpu.queue.write(scratch.step, 0, new Uint32Array([position, ids.length, 0, 0]));
    for (const table of scratch.rope) gpu.queue.write(table.buffer, 0, ropeAngles(table, position, ids.length));
  }

  #finish(step: Finished): void {
    const changes = this.#parts.pager.takeChanges();
    const uses = step.routing.map(({ expertIds }) => countUses(expertIds));
    this.#parts.pager.touch(uses, step.tokens);
    const layers = uses.map((layerUses, moe): LayerPaging => {
      const { fetched, evicted } = changes[moe] ?? { fetched: [], evicted: [] };
      const experts = [...layerUses.keys()];
      const missed = experts.filter((expert) => fetched.includes(expert)).length;
      this.counts.expertMisses += missed;
      this.counts.expertHits += experts.length - missed;
      const chosen = step.phase === "decode" ? experts : experts.sort((a, b) => a - b);
      return { layer: this.#moe[moe]?.layer ?? 0, chosen, fetched, evicted };
    });
    this.#record(step);
    const { phase, tokens, position, start } = step;
    this.listener?.({ phase, position: position + tokens - 1, tokens, layers, ms: performance.now() - start });
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

/** How many tokens chose each expert, in order of first choice: rank order for a single token. */
function countUses(expertIds: Uint32Array): Map<number, number> {
  const uses = new Map<number, number>();
  for (const expert of expertIds) uses.set(expert, (uses.get(expert) ?? 0) + 1);
  return uses;
}
