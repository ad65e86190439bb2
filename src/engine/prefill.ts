/**
 * The forward pass of a chunk of tokens, layer by layer. At each MoE layer the host reads which experts the chunk chose,
 * groups the tokens by expert, and runs the experts in waves: those already resident first, the rest as the slots
 * allow, each brought in at most once. Outputs are kept per (token, rank) and combined in rank order, so neither the
 * waves nor the chunk's bounds change a bit.
 */
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { Command } from "../gpu/queue.ts";
import { attentionPrefill } from "../kernels/attention-prefill.ts";
import { combine } from "../kernels/combine.ts";
import { embed } from "../kernels/embed.ts";
import { expertMatmulDown } from "../kernels/expert-matmul-down.ts";
import { expertMatmulGateUp } from "../kernels/expert-matmul-gate-up.ts";
import { expertMatmulUp } from "../kernels/expert-matmul-up.ts";
import type { Finish } from "../kernels/finish.ts";
import { kvWrite } from "../kernels/kv-write.ts";
import { matmul, TILE } from "../kernels/matmul.ts";
import { norm, type Residual } from "../kernels/norm.ts";
import { router } from "../kernels/router.ts";
import { swiglu } from "../kernels/swiglu.ts";
import type { LayerTensor, MlpActivation, MoeSpec } from "../models/spec.ts";
import { hasGate } from "../weights/expected.ts";
import { headCommands } from "./decode.ts";
import { type GroupedTokens, groupTokens, tilesOf, usesOf, wavesOf } from "./group-tokens.ts";
import type { KvCache } from "./kv-cache.ts";
import { latentPrefill } from "./latent-attention.ts";
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
import { type Routing, readRouting } from "./routing.ts";
import { shortConvPrefillBlock } from "./short-conv.ts";
import type { StepClock } from "./step-clock.ts";

type ForTokens = (tokens: number) => Command[];
type ForOne = (tokens: number) => Command;

/** One layer: everything up to the router (or through the dense MLP), and the experts of an MoE layer. */
interface LayerPlan {
  readonly before: ForTokens;
  readonly moe: MoePlan | undefined;
}

interface MoePlan {
  readonly moe: number;
  readonly mlp: MoeSpec;
  /** Gate, up and down over the tiles now in `tiles`. */
  readonly experts: (numTiles: number) => Command[];
  readonly after: ForTokens;
}

export interface PrefillPlan {
  readonly start: ForTokens;
  readonly layers: readonly LayerPlan[];
  /** What may follow the layers. */
  readonly ends: Readonly<Record<ChunkEnd, ForTokens>>;
}

/** Of a chunk's last token the logits; of all its tokens the hidden states behind the final norm, in `h`; or neither. */
export type ChunkEnd = "logits" | "hidden" | "nothing";

/**
 * Runs a chunk of `tokens` whose ids, positions and angles are already written.
 * @returns the routing of every MoE layer
 */
export async function runPrefill(
  parts: Parts,
  plan: PrefillPlan,
  tokens: number,
  end: ChunkEnd,
  clock: StepClock,
  signal: AbortSignal | undefined,
): Promise<Routing[]> {
  const routed: Routing[] = [];
  let pending = plan.start(tokens);
  for (const { before, moe } of plan.layers) {
    pending.push(...before(tokens));
    if (!moe) continue;
    signal?.throwIfAborted(); // what was written of this chunk lies behind the timeline's end
    const routing = await readRouting(parts, pending, tokens, moe.mlp.topK, clock); // one read-back an MoE layer
    await runExperts(parts, moe, tokens, routing, clock, signal);
    routed.push(routing);
    pending = moe.after(tokens);
  }
  parts.gpu.queue.submit([...pending, ...plan.ends[end](tokens)]);
  return routed;
}

/** The experts of one MoE layer for one chunk, in waves: those resident while the first others are fetched. */
async function runExperts(
  parts: Parts,
  plan: MoePlan,
  tokens: number,
  routing: Routing,
  clock: StepClock,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { pager } = parts;
  const grouped = groupTokens(routing.expertIds);
  const uses = usesOf(grouped, tokens, plan.mlp.topK);
  pager.touch(plan.moe, uses);
  const isResident = (expert: number) => pager.isResident(plan.moe, expert);
  const resident = [...grouped.keys()].filter(isResident);
  const waves = wavesOf(uses, pager.numSlots(plan.moe), isResident);
  runWave(parts, plan, grouped, resident);
  for (const experts of waves) {
    signal?.throwIfAborted();
    const { placeMs } = pager.counts;
    clock.until("compute", performance.now());
    await pager.acquire([{ moe: plan.moe, experts, guess: false }], { signal });
    clock.fetched(pager.counts.placeMs - placeMs);
    runWave(parts, plan, grouped, experts);
  }
}

function runWave(parts: Parts, plan: MoePlan, grouped: GroupedTokens, wave: readonly number[]): void {
  if (wave.length === 0) return;
  const { tiles, pairs } = tilesOf(grouped, wave, (expert) => parts.pager.slotOf(plan.moe, expert), TILE);
  const { queue } = parts.gpu;
  queue.write(parts.scratch.buffers.tiles, 0, tiles);
  queue.write(parts.scratch.buffers.pairs, 0, pairs);
  queue.submit(plan.experts(tiles.length / 4));
}

export function prefillPlan(parts: Parts, kv: KvCache, logits: LedgerBuffer): PrefillPlan {
  const { spec, host, scratch, weights, sizes } = parts;
  const { ids, x0, x1, lastH, h } = scratch.buffers;
  const streams = [x0, x1];
  let turn = 0;
  let last: Residual | undefined; // the last block's y, not in the stream yet
  /** h = norm(x + last y) [T, D]; `next` is the block that reads it. */
  const add = (gain: LedgerBuffer, next?: Residual): ForOne => {
    const from = last;
    last = next;
    const [xIn, xOut] = [streams[turn % 2] ?? x0, streams[(turn + 1) % 2] ?? x1];
    turn += 1;
    return norm(host, {
      cols: spec.hiddenSize,
      eps: spec.normEps,
      inputGain: gain,
      xIn: { buffer: xIn },
      xOut: { buffer: xOut },
      h: { buffer: h },
      residual: from,
    });
  };
  let moe = 0;
  const layers = spec.layers.map(({ attention, conv, mlp }, layer): LayerPlan => {
    const before: ForOne[] = [];
    if (attention || conv) {
      before.push(add(weights.gain({ layer, name: "attnNorm" }), residual(parts, layer, "attnOutputNorm"))); // h [T, D]
      before.push(...(attention ? attentionBlock : shortConvPrefillBlock)(parts, layer, kv)); // y [T, D]
    }
    if (mlp) before.push(add(weights.gain({ layer, name: "mlpNorm" }), residual(parts, layer, "mlpOutputNorm"))); // h
    if (mlp?.kind === "dense") before.push(...mlpBlock(parts, layer, DENSE_MLP, mlp)); // y [T, D]
    const moePlan = mlp?.kind === "moe" ? moeBlock(parts, layer, moe++, mlp) : undefined;
    before.push(...(moePlan?.routed ?? []));
    return { before: (t) => before.map((command) => command(t)), moe: moePlan };
  });
  const endNorm = add(weights.gain("outputNorm"));
  const bytes = sizes.hidden * 4;
  const head = headCommands(parts, logits); // logits [V]
  return {
    start: embed(host, weights.shards("embed"), ids, x0, spec.embeddingScale),
    layers,
    ends: {
      logits: (t) => [
        endNorm(t), // h [T, D]
        { kind: "copy", from: h, fromOffset: (t - 1) * bytes, to: lastH, toOffset: 0, bytes },
        ...head,
      ],
      hidden: (t) => [endNorm(t)],
      nothing: () => [],
    },
  };
}

function attentionBlock(parts: Parts, layer: number, kv: KvCache): ForOne[] {
  const { host, spec, scratch, sizes } = parts;
  const { window, numHeads, numKvHeads, headDim, outputGate, latent } = layerAttention(spec, layer);
  if (latent) return latentPrefill(parts, layer, kv);
  const { h, qkv, attention, y } = scratch.buffers;
  const cache = kv.layers[layer];
  if (!cache) throw new RangeError(`layer ${layer} has no cache`);
  const heads = layerHeads(parts, layer);
  const project = (name: LayerTensor, head: number, bias?: LayerTensor) => {
    const finish = bias && layerBias(parts, layer, bias);
    return tokensTimes(parts, layer, name, h, 0, sizes.hidden, qkv, head * headDim, sizes.qkv, finish);
  };
  const wide = layerWideNorm(parts, layer);
  const outputBias = layerBias(parts, layer, "oBias");
  const shared = { heads, kv: cache, qkv, qkvStride: sizes.qkv, step: scratch.step };
  return [
    project("q", 0, "qBias"),
    project("k", numHeads, "kBias"),
    project("v", numHeads + numKvHeads, "vBias"), // qkv [T, (H + 2K) d]
    ...(outputGate ? [project("outputGate", numHeads + 2 * numKvHeads)] : []), // gates [T, H d], behind them
    ...(wide ? [wide] : []), // queries and keys normed
    kvWrite(host, shared),
    attentionPrefill(host, { ...shared, window, out: attention, outStride: sizes.attention }), // [T, H d]
    tokensTimes(parts, layer, "o", attention, 0, sizes.attention, y, 0, sizes.hidden, outputBias), // y [T, D]
  ];
}

/** down activation(h) of the matrices of these names. */
function mlpBlock(
  parts: Parts,
  layer: number,
  [gate, up, down]: MlpNames,
  { innerSize, activation }: { readonly innerSize: number; readonly activation?: MlpActivation | undefined },
  finish?: Finish,
): ForOne[] {
  const { host, scratch, sizes } = parts;
  const { h, gateUp, denseAct, y } = scratch.buffers;
  const stride = sizes.denseInner;
  const first = hasGate(activation)
    ? [
        tokensTimes(parts, layer, gate, h, 0, sizes.hidden, gateUp, 0, 2 * stride),
        tokensTimes(parts, layer, up, h, 0, sizes.hidden, gateUp, stride, 2 * stride),
        swiglu(host, innerSize, stride, gateUp, denseAct),
      ]
    : [tokensTimes(parts, layer, up, h, 0, sizes.hidden, denseAct, 0, stride, { kind: "relu2" })];
  return [
    ...first, // act [T, F]
    tokensTimes(parts, layer, down, denseAct, 0, stride, y, 0, sizes.hidden, finish), // y [T, D]
  ];
}

function moeBlock(parts: Parts, layer: number, moe: number, mlp: MoeSpec): MoePlan & { routed: ForOne[] } {
  const { host, scratch, sizes, pager } = parts;
  const { h, router: routerRow, routing, expertAct, z, mixed, y, tiles, pairs } = scratch.buffers;
  const latent = mlp.latentSize !== null;
  const bias = layerBias(parts, layer, "routerBias");
  const routed = [tokensTimes(parts, layer, "router", h, 0, sizes.hidden, routerRow, 0, sizes.routerRow, bias)];
  if (latent) {
    routed.push(
      tokensTimes(parts, layer, "latentDown", h, 0, sizes.hidden, routerRow, sizes.routerLogits, sizes.routerRow),
    );
  }
  if (mlp.shared?.gated) {
    const [at, stride] = [sizes.sharedGateAt, sizes.routerRow];
    routed.push(tokensTimes(parts, layer, "sharedRouter", h, 0, sizes.hidden, routerRow, at, stride));
  }
  routed.push(
    router(host, {
      ...mlp,
      bias: parts.weights.vector({ layer, name: "selectionBias" }),
      logits: routerRow,
      logitsStride: sizes.routerRow,
      residency: pager.residency,
      residencyAt: moe * pager.residencyStride,
      routing,
      routingAt: 0,
    }), // expert ids, slots, routing weights [T, k]
  );
  const { gate, up, down } = slotMatrices(parts, moe);
  const input = latent
    ? { x: routerRow, xAt: sizes.routerLogits / 4, xStride: sizes.routerRow / 4 }
    : { x: h, xAt: 0, xStride: sizes.hidden / 4 };
  const shared = { layer: layerSlabs(parts, moe), tiles, pairs, act: expertAct, actStride: sizes.expertInner };
  const site = { ...shared, ...input, up, topK: mlp.topK };
  const { activation } = mlp;
  const first =
    gate && activation !== "relu2"
      ? expertMatmulGateUp(host, { ...site, gate, activation })
      : expertMatmulUp(host, site); // act [T k, m]
  const downs = expertMatmulDown(host, { ...shared, down, z, zStride: sizes.expertWidth }); // z [T k, l]
  const after = [combine(host, sizes.expertWidth / 4, mlp.topK, z, routing, latent ? mixed : y)]; // [T, l]
  if (latent) after.push(tokensTimes(parts, layer, "latentUp", mixed, 0, sizes.expertWidth, y, 0, sizes.hidden));
  if (mlp.shared) after.push(...mlpBlock(parts, layer, SHARED_MLP, mlp.shared, sharedFinish(parts, mlp)));
  return {
    moe,
    mlp,
    routed,
    experts: (numTiles) => [first(numTiles), downs(numTiles)],
    after: (t) => after.map((command) => command(t)),
  };
}

/** A layer's matrix over all tokens; places and strides in floats. */
function tokensTimes(
  parts: Parts,
  layer: number,
  name: LayerTensor,
  x: LedgerBuffer,
  xAt: number,
  xStride: number,
  out: LedgerBuffer,
  outAt: number,
  outStride: number,
  finish?: Finish,
): ForOne {
  const matrix = layerMatrix(parts, layer, name);
  const { step } = parts.scratch;
  return matmul(parts.host, { matrix, x, xAt: xAt / 4, xStride: xStride / 4, out, outAt, outStride, step, finish });
}
