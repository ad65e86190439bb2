/**
 * One decode step: submit the whole token, read back what it chose, and stand by it when every chosen expert was
 * resident. Otherwise fetch, and run again from the first MoE layer that missed one; nothing computed behind a miss is
 * used but as a hint of what later layers are likely to want.
 */
import type { Command, Span } from "../gpu/queue.ts";
import type { Want } from "../pager/pager.ts";
import { ABSENT } from "../pager/slot-table.ts";
import type { DecodePlan } from "./decode.ts";
import type { Parts } from "./parts.ts";
import { type Routing, unpackRouting } from "./routing.ts";
import { moeLayers } from "./sizes.ts";

export interface StepRequest {
  /** Commands after the forward pass: sampling, or none. */
  readonly then: readonly Command[];
  /** What to read back beside the routing. */
  readonly reads: readonly Span[];
  /** MoE layers past the first missing one whose likely experts are fetched with it. */
  readonly runAhead: number;
  readonly signal: AbortSignal | undefined;
}

export interface StepResult {
  /** Final routing of every MoE layer. */
  readonly routing: readonly Routing[];
  /** Bytes of `reads`, one after another. */
  readonly bytes: ArrayBuffer;
  /** Submissions that the step took. */
  readonly rounds: number;
}

export async function runDecodeStep(parts: Parts, plan: DecodePlan, request: StepRequest): Promise<StepResult> {
  const { sizes, gpu, pager, scratch } = parts;
  const topKs = moeLayers(parts.spec).map(({ mlp }) => mlp.topK);
  const rowBytes = 3 * sizes.topK * 4;
  const routingSpan = { buffer: scratch.buffers.routing, offset: 0, bytes: topKs.length * rowBytes };
  const spans = topKs.length > 0 ? [routingSpan, ...request.reads] : [...request.reads];
  let from = 0;
  for (let rounds = 1; ; rounds++) {
    const bytes = await gpu.queue.submitAndRead([...plan.forward.slice(from), ...request.then], spans);
    const routing = topKs.map((topK, moe) => unpackRouting(bytes, moe * rowBytes, 1, topK));
    const first = routing.findIndex(({ slots }) => slots.includes(ABSENT));
    if (first < 0) return { routing, bytes: bytes.slice(topKs.length * rowBytes), rounds };
    const wants = wantedExperts(routing, first, request.runAhead);
    await pager.acquire(wants, request.signal);
    from = plan.replayAt[first] ?? 0;
  }
}

/** What the first missing layer demands, and what the next `runAhead` layers seemed to want. */
function wantedExperts(routing: readonly Routing[], first: number, runAhead: number): Want[] {
  const wants: Want[] = [];
  for (let moe = first; moe < routing.length && moe <= first + runAhead; moe++) {
    wants.push({ moe, experts: [...(routing[moe]?.expertIds ?? [])], guess: moe > first });
  }
  return wants;
}
