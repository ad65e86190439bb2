/** The MLPs of one token's pass: dense ones, and routers with the experts that they choose. */
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { BufferRange } from "../gpu/pipelines.ts";
import type { Command } from "../gpu/queue.ts";
import { expertDown } from "../kernels/expert-down.ts";
import { expertGateUp } from "../kernels/expert-gate-up.ts";
import { expertUp } from "../kernels/expert-up.ts";
import type { Finish } from "../kernels/finish.ts";
import { matvec, type Segment } from "../kernels/matvec.ts";
import { matvecSwiglu } from "../kernels/matvec-swiglu.ts";
import { type MissWatch, router } from "../kernels/router.ts";
import type { MlpActivation, MoeSpec } from "../models/spec.ts";
import { hasGate } from "../weights/expected.ts";
import {
  layerBias,
  layerMatrix,
  layerSlabs,
  type MlpNames,
  type Parts,
  SHARED_MLP,
  sharedFinish,
  slotMatrices,
} from "./parts.ts";
import { moeLayers } from "./sizes.ts";

/** Where the residual stream and its norm are at some point of the pass. */
export interface Stream {
  readonly x: BufferRange;
  readonly h: BufferRange;
}

/** The routing of one layer in `routing`, from this word on. */
export interface RoutingSite {
  readonly routing: LedgerBuffer;
  readonly routingAt: number;
}

/** What a pass is for: a step of which everything is kept that a replay reads, or a scout of which its routing is read. */
export interface Purpose {
  readonly keeps: boolean;
  /** Word of `routing` where its record is. */
  readonly recordAt: number;
}

/** down activation(h) of the matrices of these names. */
export function mlpBlock(
  parts: Parts,
  layer: number,
  names: MlpNames,
  activation: MlpActivation | undefined,
  stream: Stream,
  forward: Command[],
  finish?: Finish,
): void {
  const { host, scratch } = parts;
  const { denseAct, y } = scratch.buffers;
  const [gate, up, down] = names;
  const upMatrix = layerMatrix(parts, layer, up);
  forward.push(
    hasGate(activation)
      ? matvecSwiglu(host, layerMatrix(parts, layer, gate), upMatrix, stream.h, denseAct)
      : matvec(host, [{ matrix: upMatrix, outAt: 0 }], stream.h, denseAct, { kind: "relu2" }),
  ); // act [F]
  const matrix = layerMatrix(parts, layer, down);
  forward.push(matvec(host, [{ matrix, outAt: 0 }], { buffer: denseAct }, y, finish)); // y [D]
}

/** Chooses the experts of a layer, and halts the step behind a miss. @returns where the choice is. */
export function routerBlock(
  parts: Parts,
  layer: number,
  moe: number,
  mlp: MoeSpec,
  stream: Stream,
  { keeps, recordAt }: Purpose,
  forward: Command[],
): RoutingSite {
  const { host, scratch, sizes, pager } = parts;
  const { router: routerRow, routing } = scratch.buffers;
  const routingAt = recordAt + moe * 3 * sizes.topK;
  const segments: Segment[] = [{ matrix: layerMatrix(parts, layer, "router"), outAt: 0 }];
  if (mlp.latentSize !== null) {
    segments.push({ matrix: layerMatrix(parts, layer, "latentDown"), outAt: sizes.routerLogits });
  }
  if (mlp.shared?.gated) {
    segments.push({ matrix: layerMatrix(parts, layer, "sharedRouter"), outAt: sizes.sharedGateAt });
  }
  const bias = layerBias(parts, layer, "routerBias");
  forward.push(matvec(host, segments, stream.h, routerRow, bias)); // router logits [E], latent [l], shared gate
  if (keeps && sizes.predictions > 0) predictNext(parts, moe + 1, stream, forward); // expert ids of the next MoE layer, a guess
  forward.push(
    router(host.plain, {
      ...mlp,
      bias: parts.weights.vector({ layer, name: "selectionBias" }),
      logits: routerRow,
      logitsStride: sizes.routerRow,
      residency: parts.allResident ? undefined : pager.residency,
      residencyAt: moe * pager.residencyStride,
      routing,
      routingAt,
      watch: missWatch(parts, moe, recordAt),
    })(1), // expert ids, slots, routing weights [k]
  );
  return { routing, routingAt };
}

/** The chosen experts, and the shared one. */
export function moeBlock(
  parts: Parts,
  layer: number,
  moe: number,
  mlp: MoeSpec,
  stream: Stream,
  routing: RoutingSite,
  forward: Command[],
): void {
  const { host, scratch, sizes } = parts;
  const { router: routerRow, expertAct, mixed, y } = scratch.buffers;
  const slots = layerSlabs(parts, moe);
  const { gate, up, down } = slotMatrices(parts, moe);
  const input =
    mlp.latentSize === null ? { x: stream.h, xAt: 0 } : { x: { buffer: routerRow }, xAt: sizes.routerLogits / 4 };
  const shared = { layer: slots, topK: mlp.topK, ...routing, act: expertAct, actStride: sizes.expertInner };
  const site = { ...shared, ...input, up };
  const { activation } = mlp;
  forward.push(
    gate && activation !== "relu2" ? expertGateUp(host, { ...site, gate, activation }) : expertUp(host, site),
  ); // act [k, m]
  const out = mlp.latentSize === null ? y : mixed;
  forward.push(expertDown(host, { ...shared, down, out })); // mixed [l]: combined in rank order
  if (mlp.latentSize !== null) {
    const latentUp = layerMatrix(parts, layer, "latentUp");
    forward.push(matvec(host, [{ matrix: latentUp, outAt: 0 }], { buffer: mixed }, y)); // y [D]
  }
  if (!mlp.shared) return;
  mlpBlock(parts, layer, SHARED_MLP, mlp.shared.activation, stream, forward, sharedFinish(parts, mlp)); // y [D]
}

function missWatch({ allResident, scratch, sizes }: Parts, moe: number, recordAt: number): MissWatch | undefined {
  if (allResident) return undefined;
  const hintsAt = recordAt + sizes.hintsAt + moe * sizes.hints;
  return { step: scratch.step, miss: scratch.halt, moe, numMoe: sizes.numMoeLayers, hintsAt };
}

/** The router of MoE layer `next` on what goes into this one: mostly right, and known before this one's experts run. */
function predictNext(parts: Parts, next: number, stream: Stream, forward: Command[]): void {
  const { host, scratch, sizes, pager, spec, weights } = parts;
  const { layer, mlp } = moeLayers(spec)[next] ?? {};
  if (layer === undefined || !mlp) return;
  const { nextRouter, routing } = scratch.buffers;
  const segment = { matrix: layerMatrix(parts, layer, "router"), outAt: 0 };
  forward.push(matvec(host, [segment], stream.h, nextRouter, layerBias(parts, layer, "routerBias"))); // logits [E]
  forward.push(
    router(host, {
      ...mlp,
      topK: sizes.predictions,
      bias: weights.vector({ layer, name: "selectionBias" }),
      logits: nextRouter,
      logitsStride: sizes.routerLogits,
      residency: pager.residency,
      residencyAt: next * pager.residencyStride,
      routing,
      routingAt: sizes.predictionsAt + (next - 1) * 3 * sizes.predictions,
    })(1),
  );
}
