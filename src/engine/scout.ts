/**
 * A scout: while a step waits for experts, the token that it seems to draw is run too, as far as that tells what the next
 * step is going to want. Nothing of it is used but as guesses: it reads what a step with missing experts left, and writes
 * no more than a place of the cache that the next step writes again.
 */
import type { Want } from "../pager/wants.ts";
import type { DecodePlan } from "./decode.ts";
import type { Parts } from "./parts.ts";
import { unpackRouting } from "./routing.ts";
import { decodeRecordBytes, unhalt, writeStep } from "./scratch.ts";
import { moeLayers } from "./sizes.ts";

/** The step that waits. */
export interface WaitingStep {
  readonly plan: DecodePlan;
  /** Of its token; the one that it draws is in `ids` on the GPU. */
  readonly position: number;
}

/**
 * Runs the token behind the step's as far as the routing of its first `layers` MoE layers.
 * @returns their wants, all guesses; none when the device is lost, which the step hears of by itself.
 */
export async function scout(parts: Parts, { plan, position }: WaitingStep, layers: number): Promise<Want[]> {
  const { gpu, scratch, sizes, spec } = parts;
  const commands = plan.scout.slice(0, plan.scoutTo[layers - 1]);
  unhalt(gpu, scratch);
  writeStep(gpu, scratch, position + 1, 1, { layers: sizes.numMoeLayers + layers, hints: 0 });
  const bytes = decodeRecordBytes(sizes);
  const span = { buffer: scratch.buffers.routing, offset: bytes, bytes };
  const record = await gpu.queue.submitAndRead(commands, [span]).catch(() => undefined);
  if (!record) return [];
  const rowBytes = 3 * sizes.topK * 4;
  return moeLayers(spec)
    .slice(0, layers)
    .map(({ mlp }, moe) => {
      const { expertIds } = unpackRouting(record, moe * rowBytes, 1, mlp.topK);
      return { moe, experts: [...expertIds], guess: true };
    });
}
