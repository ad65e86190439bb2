/** The routing record that the router kernel leaves, read back: expert ids, slots and routing weights in rank order. */
import { type Command, readTimes } from "../gpu/queue.ts";
import type { Parts } from "./parts.ts";
import type { StepClock } from "./step-clock.ts";

/** One MoE layer of one step, all [tokens, topK]. */
export interface Routing {
  readonly expertIds: Uint32Array;
  readonly slots: Uint32Array;
  readonly routingWeights: Float32Array;
}

/** Submits `commands`, which end with a router, and reads its record [tokens, 3, topK]. */
export async function readRouting(
  parts: Parts,
  commands: readonly Command[],
  tokens: number,
  topK: number,
  clock: StepClock,
): Promise<Routing> {
  const span = { buffer: parts.scratch.buffers.routing, offset: 0, bytes: tokens * 3 * topK * 4 };
  const times = readTimes(clock.exact);
  const bytes = await parts.gpu.queue.submitAndRead(commands, [span], times);
  clock.ranAndRead(times);
  return unpackRouting(bytes, 0, tokens, topK);
}

/** Unpacks [tokens, 3, topK] words from byte `at`. */
export function unpackRouting(bytes: ArrayBuffer, at: number, tokens: number, topK: number): Routing {
  const words = new Uint32Array(bytes, at, tokens * 3 * topK);
  const floats = new Float32Array(bytes, at, tokens * 3 * topK);
  const routing = {
    expertIds: new Uint32Array(tokens * topK),
    slots: new Uint32Array(tokens * topK),
    routingWeights: new Float32Array(tokens * topK),
  };
  for (let token = 0; token < tokens; token++) {
    const row = token * 3 * topK;
    routing.expertIds.set(words.subarray(row, row + topK), token * topK);
    routing.slots.set(words.subarray(row + topK, row + 2 * topK), token * topK);
    routing.routingWeights.set(floats.subarray(row + 2 * topK, row + 3 * topK), token * topK);
  }
  return routing;
}
