/**
 * Draws the tokens of one timeline on the GPU. While steps are clean the next one is queued before this one is read back;
 * whatever runs in between makes it void. While they are not, the next token may be scouted (`scout.ts`).
 */
import type { Span } from "../gpu/queue.ts";
import { type Sampling, samplingBytes } from "../kernels/sample.ts";
import type { DecodePlan } from "./decode.ts";
import type { StartedStep } from "./decode-step.ts";
import { unhalt } from "./scratch.ts";
import type { SessionSteps, StepsHost } from "./session-steps.ts";
import type { Timeline } from "./timeline.ts";

/** What drawing needs of the engine. */
export interface DrawsHost extends StepsHost {
  /** Keeps `step` for the next task. */
  keepQueued(step: QueuedStep): void;
}

/** A step that was submitted before its token was known to the host, and what must be so for it to be of use. */
export interface QueuedStep {
  /** Who queued it. */
  readonly draws: SessionDraws;
  readonly step: StartedStep;
  /** The token that it computes, which the step before drew. */
  readonly id: number;
  /** Timeline and sampling that it continues. */
  readonly rewinds: number;
  readonly sampling: Sampling;
}

export class SessionDraws {
  readonly #host: DrawsHost;
  readonly #timeline: Timeline;
  readonly #steps: SessionSteps;

  constructor(host: DrawsHost, timeline: Timeline, steps: SessionSteps) {
    this.#host = host;
    this.#timeline = timeline;
    this.#steps = steps;
  }

  /**
   * Draws the token that follows the timeline, which is not empty; it is not appended.
   * @param queued the step that the task before left on the GPU.
   * @param more whether another is going to be drawn after it.
   */
  async draw(
    queued: QueuedStep | undefined,
    sampling: Sampling,
    signal: AbortSignal | undefined,
    more: boolean,
  ): Promise<number> {
    const { steps, parts } = this.#host;
    const { decode } = await this.#steps.plans(signal).catch(async (error: unknown) => {
      if (queued) await steps.drop(queued.step);
      throw error;
    });
    const timeline = this.#timeline;
    const position = timeline.length - 1;
    if (queued && this.#continues(queued, decode, sampling)) {
      return this.#finish(queued.step, sampling, signal, more);
    }
    if (queued) await steps.drop(queued.step);
    await this.#steps.catchUp(position, signal);
    if (!timeline.logitsFresh || timeline.computed < timeline.length) {
      if (timeline.phaseAt(position) === "decode") {
        signal?.throwIfAborted();
        const step = this.#start(decode, timeline.tokenAt(position), position, sampling, more);
        return this.#finish(step, sampling, signal, more);
      }
      await this.#steps.prefillRun(position, timeline.length, signal);
    }
    parts.gpu.queue.write(parts.scratch.sampling, 0, samplingBytes(sampling, timeline.length));
    unhalt(parts.gpu, parts.scratch);
    const id = firstWord(await parts.gpu.queue.submitAndRead([decode.sample], [this.#drawnToken()]));
    steps.tokenDrawn();
    return id;
  }

  /** Submits the step of the token at `position` (`null`: the one that is drawn before it) and the draw of the next. */
  #start(plan: DecodePlan, id: number | null, position: number, sampling: Sampling, more: boolean): StartedStep {
    const { steps } = this.#host;
    // A step behind which the next one is queued has to halt behind a miss, and what is queued with it.
    const mayScout = more && !steps.expectsClean && this.#hasPlace(position + 1);
    this.#timeline.begins(position + (mayScout ? 2 : 1));
    const draw = samplingBytes(sampling, position + 1);
    return steps.start({ plan, id, position, draw, mayScout, reads: [this.#drawnToken()] });
  }

  /**
   * Whether a token can be run at `position` before the one in front of it is done. A ring holds a chunk beyond its window:
   * what comes early takes the place of a key that the one in front still sees without it.
   */
  #hasPlace(position: number): boolean {
    return position < this.#timeline.contextLength && this.#host.parts.sizes.chunk > 1;
  }

  #continues({ draws, step, id, rewinds, sampling }: QueuedStep, plan: DecodePlan, now: Sampling): boolean {
    const last = this.#timeline.length - 1;
    const same = draws === this && rewinds === this.#timeline.rewinds && step.plan === plan;
    const drawn = step.position === last && id === this.#timeline.tokenAt(last);
    return same && drawn && JSON.stringify(sampling) === JSON.stringify(now);
  }

  /** Sees a drawing step through, and before that queues the next one where that is likely to be of use. */
  async #finish(
    step: StartedStep,
    sampling: Sampling,
    signal: AbortSignal | undefined,
    more: boolean,
  ): Promise<number> {
    const { steps } = this.#host;
    const position = step.position + 1;
    const queue = more && steps.expectsClean && !step.mayScout && this.#hasPlace(position);
    const next = queue ? this.#start(step.plan, null, position, sampling, more) : undefined;
    try {
      const rounds = steps.counts.decodeRounds;
      const id = firstWord(await steps.finish(step, signal));
      this.#timeline.finished(step.position + 1);
      if (!next) return id;
      this.#timeline.staleLogits(); // they are the next step's
      if (steps.counts.decodeRounds - rounds > 1) await steps.drop(next);
      else this.#host.keepQueued({ draws: this, step: next, id, rewinds: this.#timeline.rewinds, sampling });
      return id;
    } catch (error) {
      if (next) await steps.drop(next);
      throw error;
    }
  }

  #drawnToken(): Span {
    return { buffer: this.#host.parts.scratch.buffers.ids, offset: 0, bytes: 4 };
  }
}

function firstWord(bytes: ArrayBuffer): number {
  return new Uint32Array(bytes, 0, 1)[0] ?? 0;
}
