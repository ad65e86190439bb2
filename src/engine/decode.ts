/**
 * The forward pass of one token, as the list of commands that one submission runs. It is built once for a session's
 * cache and the slots as they are, and only the step's uniforms change from token to token. The kept rows make it
 * replayable: from any MoE layer's router on, the commands can run again with nothing else than what that layer wrote.
 * Dispatches: 7 in a dense layer, 10 in an MoE layer with a latent (9 without), four or five of them for the mixer of tokens;
 * one more for gates of the heads' outputs or a norm over all of them, two more for a shared expert, three or four more for
 * attention that caches latents.
 */
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { BufferRange } from "../gpu/pipelines.ts";
import type { Command } from "../gpu/queue.ts";
import { attentionDecode } from "../kernels/attention-decode.ts";
import { embed } from "../kernels/embed.ts";
import { expertDown } from "../kernels/expert-down.ts";
import { expertGateUp } from "../kernels/expert-gate-up.ts";
import { expertUp } from "../kernels/expert-up.ts";
import type { Finish } from "../kernels/finish.ts";
import { matvec, type Segment } from "../kernels/matvec.ts";
import { matvecSwiglu } from "../kernels/matvec-swiglu.ts";
import { norm, type Residual } from "../kernels/norm.ts";
import { type MissWatch, router } from "../kernels/router.ts";
import { sample } from "../kernels/sample.ts";
import type { MlpActivation, MoeSpec } from "../models/spec.ts";
import { hasGate } from "../weights/expected.ts";
import type { KvCache } from "./kv-cache.ts";
import { latentDecode } from "./latent-attention.ts";
import {
  DENSE_MLP,
  layerAttention,
  layerBias,
  layerHeads,
  layerMatrix,
  layerSlabs,
  layerWideNorm,
  type MlpNames,
  type Parts,
  residual,
  SHARED_MLP,
  sharedFinish,
  slotMatrices,
} from "./parts.ts";
import { shortConvBlock } from "./short-conv.ts";
import { moeLayers } from "./sizes.ts";

export interface DecodePlan {
  /** From the token id in `ids` to the logits. */
  readonly forward: readonly Command[];
  /** From the logits to the next token id, in `ids` again. */
  readonly sample: Command;
  /** Per MoE layer: index in `forward` of its router, where a replay begins. */
  readonly replayAt: readonly number[];
}

/** Where the residual stream and its norm are at some point of the pass. */
interface Stream {
  readonly x: BufferRange;
  readonly h: BufferRange;
}

export function decodePlan(all: Parts, kv: KvCache, logits: LedgerBuffer): DecodePlan {
  const parts = all.allResident ? all : { ...all, host: all.host.halting(all.scratch.halt) };
  const { spec, host, scratch, weights } = parts;
  const { buffers } = scratch;
  const forward: Command[] = [];
  const replayAt: number[] = [];

  forward.push(...embed(host, weights.shards("embed"), buffers.ids, buffers.x0, spec.embeddingScale)(1)); // x [D]
  let x: BufferRange = { buffer: buffers.x0 };
  let last: Residual | undefined; // the last block's y, not in x yet
  for (const [layer, { attention, conv, mlp }] of spec.layers.entries()) {
    if (attention || conv) {
      const mixed = mixerInput(parts, layer, x, last, forward); // h = norm(x + last y) [D]
      if (attention)
        attentionBlock(parts, layer, kv, mixed, forward); // y [D]
      else forward.push(...shortConvBlock(parts, layer, kv, mixed.h)); // y [D]
      x = mixed.x;
      last = residual(parts, layer, "attnOutputNorm");
    }
    if (!mlp) continue;
    const moe = replayAt.length;
    const stream = mlpInput(parts, layer, x, last, mlp.kind === "moe" ? moe : null, forward); // h = norm(x + last y) [D]
    if (mlp.kind === "dense") {
      mlpBlock(parts, layer, DENSE_MLP, mlp.activation, stream, forward); // y [D]
    } else {
      replayAt.push(forward.length);
      moeBlock(parts, layer, moe, mlp, stream, forward); // y [D]
    }
    x = stream.x;
    last = residual(parts, layer, "mlpOutputNorm");
  }
  const end = { x: other(parts, x), h: { buffer: buffers.lastH } };
  forward.push(addAndNorm(parts, x, end, weights.gain("outputNorm"), last)); // h [D]
  forward.push(...headCommands(parts, logits)); // logits [V]
  return { forward, sample: sample(host, spec.vocabSize, logits, scratch.sampling, buffers.ids), replayAt };
}

/** From `lastH` to the logits; a head larger than a binding takes one dispatch a piece. */
export function headCommands(parts: Parts, logits: LedgerBuffer): Command[] {
  const { host, scratch, weights, spec } = parts;
  const h = { buffer: scratch.buffers.lastH };
  const finish: Finish | undefined =
    spec.logitScale === undefined ? undefined : { kind: "scale", factor: spec.logitScale };
  return weights
    .shards(spec.tiedEmbeddings ? "embed" : "head")
    .map((shard) => matvec(host, [{ matrix: shard, outAt: shard.rowStart }], h, logits, finish));
}

/** The stream into attention or a short convolution. */
function mixerInput(
  parts: Parts,
  layer: number,
  x: BufferRange,
  last: Residual | undefined,
  forward: Command[],
): Stream {
  const next = { x: other(parts, x), h: { buffer: parts.scratch.buffers.h } };
  forward.push(addAndNorm(parts, x, next, parts.weights.gain({ layer, name: "attnNorm" }), last));
  return next;
}

function attentionBlock(parts: Parts, layer: number, kv: KvCache, stream: Stream, forward: Command[]): void {
  const { host, spec, scratch } = parts;
  const { qkv, attention, y } = scratch.buffers;
  const { window, outputGate, latent } = layerAttention(spec, layer);
  if (latent) {
    forward.push(...latentDecode(parts, layer, kv, stream.h)); // y [D]
    return;
  }
  const [q, k, v, o] = (["q", "k", "v", "o"] as const).map((name) => layerMatrix(parts, layer, name));
  const cache = kv.layers[layer];
  if (!q || !k || !v || !o || !cache) throw new RangeError(`layer ${layer} is incomplete`);
  const segments = [
    { matrix: q, outAt: 0 },
    { matrix: k, outAt: q.rows },
    { matrix: v, outAt: q.rows + k.rows },
  ];
  const bias = layerBias(parts, layer, "qBias", "kBias", "vBias");
  forward.push(matvec(host, segments, stream.h, qkv, bias)); // qkv [(H + 2K) d]
  if (outputGate) {
    const gate = { matrix: layerMatrix(parts, layer, "outputGate"), outAt: q.rows + 2 * k.rows };
    forward.push(matvec(host, [gate], stream.h, qkv)); // gates [H d], behind them
  }
  const wide = layerWideNorm(parts, layer);
  if (wide) forward.push(wide(1)); // queries and keys normed
  const heads = layerHeads(parts, layer);
  forward.push(attentionDecode(host, { heads, window, kv: cache, qkv, out: attention, step: scratch.step })); // [H d]
  forward.push(matvec(host, [{ matrix: o, outAt: 0 }], { buffer: attention }, y, layerBias(parts, layer, "oBias"))); // [D]
}

/** The stream into the MLP. Before an MoE block it goes to that block's kept rows, so that a replay finds it. */
function mlpInput(
  parts: Parts,
  layer: number,
  x: BufferRange,
  last: Residual | undefined,
  moe: number | null,
  forward: Command[],
): Stream {
  const { buffers, keptStride } = parts.scratch;
  const kept = (buffer: LedgerBuffer) => ({ buffer, offset: (moe ?? 0) * keptStride, bytes: keptStride });
  const next =
    moe === null
      ? { x: other(parts, x), h: { buffer: buffers.h } }
      : { x: kept(buffers.keptX), h: kept(buffers.keptH) };
  const from = moe === null ? x : outsideKept(parts, x, forward);
  forward.push(addAndNorm(parts, from, next, parts.weights.gain({ layer, name: "mlpNorm" }), last));
  return next;
}

/** `x` outside the kept rows, where a kernel that writes one of them may read it: for an MoE block right behind another. */
function outsideKept(parts: Parts, x: BufferRange, forward: Command[]): BufferRange {
  const { keptX, x0 } = parts.scratch.buffers;
  if (x.buffer !== keptX) return x;
  const bytes = parts.sizes.hidden * 4;
  forward.push({ kind: "copy", from: keptX, fromOffset: x.offset ?? 0, to: x0, toOffset: 0, bytes });
  return { buffer: x0 };
}

/** down activation(h) of the matrices of these names. */
function mlpBlock(
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

function moeBlock(parts: Parts, layer: number, moe: number, mlp: MoeSpec, stream: Stream, forward: Command[]): void {
  const { host, scratch, sizes, pager } = parts;
  const { router: routerRow, routing, expertAct, mixed, y } = scratch.buffers;
  const routingAt = moe * 3 * sizes.topK;
  const segments: Segment[] = [{ matrix: layerMatrix(parts, layer, "router"), outAt: 0 }];
  if (mlp.latentSize !== null) {
    segments.push({ matrix: layerMatrix(parts, layer, "latentDown"), outAt: sizes.routerLogits });
  }
  if (mlp.shared?.gated) {
    segments.push({ matrix: layerMatrix(parts, layer, "sharedRouter"), outAt: sizes.sharedGateAt });
  }
  const bias = layerBias(parts, layer, "routerBias");
  forward.push(matvec(host, segments, stream.h, routerRow, bias)); // router logits [E], latent [l], shared gate
  if (sizes.predictions > 0) predictNext(parts, moe + 1, stream, forward); // expert ids of the next MoE layer, a guess
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
      watch: missWatch(parts, moe),
    })(1), // expert ids, slots, routing weights [k]; halts the step behind a miss
  );
  const slots = layerSlabs(parts, moe);
  const { gate, up, down } = slotMatrices(parts, moe);
  const input =
    mlp.latentSize === null ? { x: stream.h, xAt: 0 } : { x: { buffer: routerRow }, xAt: sizes.routerLogits / 4 };
  const shared = { layer: slots, topK: mlp.topK, routing, routingAt, act: expertAct, actStride: sizes.expertInner };
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

function missWatch({ allResident, scratch, sizes }: Parts, moe: number): MissWatch | undefined {
  if (allResident) return undefined;
  const hintsAt = sizes.hintsAt + moe * sizes.hints;
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

function addAndNorm(
  parts: Parts,
  x: BufferRange,
  next: Stream,
  inputGain: LedgerBuffer,
  add: ReturnType<typeof residual> | undefined,
): Command {
  const { host, spec } = parts;
  const site = { cols: spec.hiddenSize, eps: spec.normEps, inputGain, xIn: x, xOut: next.x, h: next.h, residual: add };
  return norm(host, site)(1);
}

/** The residual buffer that `x` is not in: a kernel never reads and writes the same one. */
function other(parts: Parts, x: BufferRange): BufferRange {
  const { x0, x1 } = parts.scratch.buffers;
  return { buffer: x.buffer === x0 ? x1 : x0 };
}
