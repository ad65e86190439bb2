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
import type { Finish } from "../kernels/finish.ts";
import { matvec } from "../kernels/matvec.ts";
import { norm, type Residual } from "../kernels/norm.ts";
import { sample } from "../kernels/sample.ts";
import { mlpBlock, moeBlock, type Purpose, routerBlock, type Stream } from "./decode-mlp.ts";
import type { KvCache } from "./kv-cache.ts";
import { latentDecode } from "./latent-attention.ts";
import {
  DENSE_MLP,
  layerAttention,
  layerBias,
  layerHeads,
  layerMatrix,
  layerWideNorm,
  type Parts,
  residual,
} from "./parts.ts";
import { decodeRecordBytes } from "./scratch.ts";
import { shortConvBlock } from "./short-conv.ts";

export interface DecodePlan {
  /** From the token id in `ids` to the logits. */
  readonly forward: readonly Command[];
  /** From the logits to the next token id, in `ids` again. */
  readonly sample: Command;
  /** Per MoE layer: index in `forward` of its router, where a replay begins. */
  readonly replayAt: readonly number[];
  /** From the token id in `ids` to the last layer, for a scout; empty where every expert has its slot for good. */
  readonly scout: readonly Command[];
  /** Per MoE layer: commands of `scout` that its routing takes. */
  readonly scoutTo: readonly number[];
}

export function decodePlan(all: Parts, kv: KvCache, logits: LedgerBuffer): DecodePlan {
  const parts = all.allResident ? all : { ...all, host: all.host.halting(all.scratch.halt) };
  const { spec, host, scratch, weights } = parts;
  const { buffers } = scratch;
  const { commands, x, last, routers } = tokenPass(parts, kv, { keeps: true, recordAt: 0 });
  const end = { x: other(parts, x), h: { buffer: buffers.lastH } };
  const forward = [
    ...commands,
    addAndNorm(parts, x, end, weights.gain("outputNorm"), last), // h [D]
    ...headCommands(parts, logits), // logits [V]
  ];
  const scout = all.allResident ? undefined : tokenPass(parts, kv, { keeps: false, recordAt: recordWords(parts) });
  return {
    forward,
    sample: sample(host, spec.vocabSize, logits, scratch.sampling, buffers.ids),
    replayAt: routers.map(({ from }) => from),
    scout: scout?.commands ?? [],
    scoutTo: scout?.routers.map(({ to }) => to) ?? [],
  };
}

/** A scout's record lies behind the step's. */
function recordWords({ sizes }: Parts): number {
  return decodeRecordBytes(sizes) / 4;
}

/** From the token id in `ids` to the residual stream behind the last layer, where `last` is not in it yet. */
function tokenPass(parts: Parts, kv: KvCache, purpose: Purpose) {
  const { spec, host, weights } = parts;
  const { ids, x0 } = parts.scratch.buffers;
  const commands: Command[] = [];
  /** Per MoE layer: its router begins and its routing is written at these commands. */
  const routers: { from: number; to: number }[] = [];

  commands.push(...embed(host, weights.shards("embed"), ids, x0, spec.embeddingScale)(1)); // x [D]
  let x: BufferRange = { buffer: x0 };
  let last: Residual | undefined; // the last block's y, not in x yet
  for (const [layer, { attention, conv, mlp }] of spec.layers.entries()) {
    if (attention || conv) {
      const mixed = mixerInput(parts, layer, x, last, commands); // h = norm(x + last y) [D]
      if (attention)
        attentionBlock(parts, layer, kv, mixed, commands); // y [D]
      else commands.push(...shortConvBlock(parts, layer, kv, mixed.h)); // y [D]
      x = mixed.x;
      last = residual(parts, layer, "attnOutputNorm");
    }
    if (!mlp) continue;
    const moe = routers.length;
    const kept = purpose.keeps && mlp.kind === "moe" ? moe : null;
    const stream = mlpInput(parts, layer, x, last, kept, commands); // h = norm(x + last y) [D]
    if (mlp.kind === "dense") {
      mlpBlock(parts, layer, DENSE_MLP, mlp.activation, stream, commands); // y [D]
    } else {
      const from = commands.length;
      const routing = routerBlock(parts, layer, moe, mlp, stream, purpose, commands); // expert ids, slots, weights [k]
      routers.push({ from, to: commands.length });
      moeBlock(parts, layer, moe, mlp, stream, routing, commands); // y [D]
    }
    x = stream.x;
    last = residual(parts, layer, "mlpOutputNorm");
  }
  return { commands, x, last, routers };
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
