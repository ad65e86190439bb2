/**
 * Computes tokens of one timeline into its cache: by prefill in runs of chunks, by decode one by one. Which of them, and
 * what is done with the logits, is the session's business.
 */
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { Span } from "../gpu/queue.ts";
import { type DecodePlan, decodePlan } from "./decode.ts";
import type { KvCache } from "./kv-cache.ts";
import type { Parts } from "./parts.ts";
import { type PrefillPlan, prefillPlan } from "./prefill.ts";
import { readPieces } from "./session-state.ts";
import type { Steps } from "./steps.ts";
import type { Timeline } from "./timeline.ts";

/** What of an engine computes. */
export interface StepsHost {
  readonly parts: Parts;
  readonly steps: Steps;
  /** Grows when buffers change place, which makes recorded plans void. */
  readonly generation: number;
}

export interface Plans {
  readonly decode: DecodePlan;
  readonly prefill: PrefillPlan;
}

export class SessionSteps {
  readonly #host: StepsHost;
  readonly #timeline: Timeline;
  readonly #kv: KvCache;
  readonly #logits: LedgerBuffer;
  #plans: (Plans & { readonly generation: number }) | undefined;

  constructor(host: StepsHost, timeline: Timeline, kv: KvCache, logits: LedgerBuffer) {
    this.#host = host;
    this.#timeline = timeline;
    this.#kv = kv;
    this.#logits = logits;
  }

  /** Plans for the slots as they are now, compiled; a resize makes the old ones void. @throws DeviceError; `AbortError` */
  async plans(signal: AbortSignal | undefined): Promise<Plans> {
    const { generation, parts } = this.#host;
    if (this.#plans?.generation !== generation) {
      this.#plans = {
        decode: decodePlan(parts, this.#kv, this.#logits),
        prefill: prefillPlan(parts, this.#kv, this.#logits),
        generation,
      };
    }
    const plans = this.#plans;
    await parts.gpu.pipelines.settled(signal); // what an aborted step left compiling, too
    return plans;
  }

  /** Computes what of the first `length` tokens is not in the cache, each token by the path it took first. */
  async catchUp(length: number, signal: AbortSignal | undefined): Promise<void> {
    const timeline = this.#timeline;
    while (timeline.computed < length) {
      const from = timeline.computed;
      if (timeline.phaseAt(from) === "decode") {
        await this.decodeOne(from, [], signal);
        continue;
      }
      let to = from + 1;
      while (to < length && timeline.phaseAt(to) === "prefill") to += 1;
      await this.prefillRun(from, to, signal);
    }
  }

  /** The token at `position`. @returns the bytes of `reads`. */
  async decodeOne(position: number, reads: readonly Span[], signal: AbortSignal | undefined): Promise<ArrayBuffer> {
    signal?.throwIfAborted();
    const { decode } = await this.plans(signal);
    this.#timeline.begins(position + 1);
    const { steps } = this.#host;
    const step = steps.start({ plan: decode, id: this.#timeline.tokenAt(position), position, reads });
    const bytes = await steps.finish(step, signal);
    this.#timeline.finished(position + 1);
    return bytes;
  }

  /** The tokens of the positions from `from` up to `to`, with the logits of the last. */
  async prefillRun(from: number, to: number, signal: AbortSignal | undefined): Promise<void> {
    for await (const _ of this.#chunks(from, to, "logits", signal));
  }

  /** The same without logits. @returns the sum of their hidden states behind the final norm, [hiddenSize]. */
  async sumHidden(from: number, to: number, signal: AbortSignal | undefined): Promise<Float64Array> {
    const { parts } = this.#host;
    const sum = new Float64Array(parts.spec.hiddenSize);
    for await (const tokens of this.#chunks(from, to, "hidden", signal)) await addHidden(parts, tokens, sum, signal);
    this.#timeline.staleLogits();
    return sum;
  }

  /** Runs the chunks one by one and gives the tokens of each; the last ends in `end`, or all do. */
  async *#chunks(from: number, to: number, end: "logits" | "hidden", signal: AbortSignal | undefined) {
    const { chunk } = this.#host.parts.sizes;
    const { prefill } = await this.plans(signal);
    for (let first = from; first < to; first += chunk) {
      const ids = this.#timeline.tokens.slice(first, Math.min(to, first + chunk));
      const last = first + ids.length === to;
      this.#timeline.begins(first + ids.length);
      await this.#host.steps.prefill(prefill, ids, first, end === "hidden" || last ? end : "nothing", signal);
      this.#timeline.finished(first + ids.length);
      yield ids.length;
    }
  }
}

/** Adds the rows of `h` [tokens, hidden] to `sum` [hiddenSize]. */
async function addHidden(
  parts: Parts,
  tokens: number,
  sum: Float64Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { hidden } = parts.sizes;
  const span = { buffer: parts.scratch.buffers.h, offset: 0, bytes: tokens * hidden * 4 };
  let at = 0;
  for await (const piece of readPieces(parts, [span], signal)) {
    for (const value of new Float32Array(piece)) {
      const column = at % hidden;
      if (column < sum.length) sum[column] = (sum[column] ?? 0) + value;
      at += 1;
    }
  }
}
