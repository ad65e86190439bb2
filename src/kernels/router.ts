/** Router selection with slot look-up. See shaders/router.wgsl. */

import chooseByBiasedScore from "../../shaders/lib/choose-by-biased-score.wgsl?raw";
import chooseByLogit from "../../shaders/lib/choose-by-logit.wgsl?raw";
import chooseByScore from "../../shaders/lib/choose-by-score.wgsl?raw";
import groupsChosen from "../../shaders/lib/groups.wgsl?raw";
import groupsNone from "../../shaders/lib/groups-none.wgsl?raw";
import missesIgnored from "../../shaders/lib/misses-ignored.wgsl?raw";
import missesWatched from "../../shaders/lib/misses-watched.wgsl?raw";
import scoreSigmoid from "../../shaders/lib/score-sigmoid.wgsl?raw";
import scoreSoftmax from "../../shaders/lib/score-softmax.wgsl?raw";
import slotFixed from "../../shaders/lib/slot-fixed.wgsl?raw";
import slotLookedUp from "../../shaders/lib/slot-looked-up.wgsl?raw";
import text from "../../shaders/router.wgsl?raw";
import { UnsupportedError } from "../errors.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { type KernelHost, REDUCE } from "./kernel.ts";

export interface RouterSite {
  readonly numExperts: number;
  readonly topK: number;
  readonly renormalize: boolean;
  readonly routingScale: number;
  /** Softmax over all experts when absent. */
  readonly scoring?: "softmax" | "sigmoid" | undefined;
  /** Experts are chosen within the best of their groups only; absent: among all. */
  readonly groups?: RouterGroups | undefined;
  /** Added to scores for choosing only [numExperts]. */
  readonly bias?: LedgerBuffer | undefined;
  /** Router logits [tokens, logitsStride]. */
  readonly logits: LedgerBuffer;
  readonly logitsStride: number;
  /** Residency table and where this layer's row begins, in words; without a table every expert is in the slot of its number. */
  readonly residency: LedgerBuffer | undefined;
  readonly residencyAt: number;
  /** [tokens, 3, topK] words from `routingAt`: expert ids, slots, routing weights. */
  readonly routing: LedgerBuffer;
  readonly routingAt: number;
  /** For a decode step, which finds out by itself what it misses. */
  readonly watch?: MissWatch | undefined;
}

/** How a decode step's router marks misses and names what else might be wanted. */
export interface MissWatch {
  /** `Step` uniform: layers to run on for after a miss, hints to give. */
  readonly step: LedgerBuffer;
  /** [first missing MoE layer, halted] u32. */
  readonly miss: LedgerBuffer;
  /** Number of this layer among the MoE layers, of how many. */
  readonly moe: number;
  readonly numMoe: number;
  /** Word of `routing` where the hints go. */
  readonly hintsAt: number;
}

/** Groups of neighbours of equal size, and how many of them are open to a token. */
export interface RouterGroups {
  readonly count: number;
  readonly used: number;
  /** What a group is worth: its best expert, or the sum of its best two. */
  readonly worth: "best" | "best two";
}

export const MAX_EXPERTS = 1024;
export const MAX_TOP_K = 64;
/** A thread for each. */
export const MAX_GROUPS = 64;

/** @throws UnsupportedError beyond MAX_EXPERTS, MAX_TOP_K or MAX_GROUPS, or for groups that cannot hold the top k. */
export function router(host: KernelHost, site: RouterSite): (tokens: number) => Command {
  if (site.numExperts > MAX_EXPERTS || site.topK > MAX_TOP_K) {
    throw new UnsupportedError(
      `${site.numExperts} experts, top ${site.topK}: the router takes up to ${MAX_EXPERTS} and ${MAX_TOP_K}.`,
    );
  }
  const { scoring = "softmax", bias, groups, residency, watch } = site;
  if (groups) checkGroups(site, groups);
  const chosenBy = bias ? BIASED_SCORE : groups?.worth === "best two" ? SCORE : LOGIT;
  const fragments = [
    REDUCE,
    { text: scoring === "softmax" ? scoreSoftmax : scoreSigmoid },
    { text: chosenBy.text },
    { text: groups ? groupsChosen : groupsNone },
    { text: residency ? slotLookedUp : slotFixed },
    { text: watch ? missesWatched : missesIgnored },
  ];
  const choices = `${chosenBy.key}${groups ? " groups" : ""}${residency ? "" : " fixed"}${watch ? " watched" : ""}`;
  const bound = host.bind(
    `router ${scoring}${choices}`,
    text,
    fragments,
    {
      num_experts: site.numExperts,
      top_k: site.topK,
      logits_stride: site.logitsStride,
      residency_at: site.residencyAt,
      routing_at: site.routingAt,
      renormalize: site.renormalize ? 1 : 0,
      routing_scale: site.routingScale,
      num_groups: groups?.count ?? 1,
      groups_used: groups?.used ?? 1,
      group_best: groups?.worth === "best two" ? 2 : 1,
      hints_at: watch?.hintsAt ?? 0,
      moe: watch?.moe ?? 0,
      num_moe: watch?.numMoe ?? 0,
    },
    {
      logits: { buffer: site.logits },
      routing: { buffer: site.routing },
      ...(residency ? { residency: { buffer: residency } } : {}),
      ...(bias ? { selection_bias: { buffer: bias } } : {}),
      ...(watch ? { step: { buffer: watch.step }, miss: { buffer: watch.miss } } : {}),
    },
  );
  return (tokens) => dispatch(bound, [tokens, 1]);
}

const BIASED_SCORE = { key: " biased", text: chooseByBiasedScore };
const SCORE = { key: " by score", text: chooseByScore };
const LOGIT = { key: "", text: chooseByLogit };

function checkGroups({ numExperts, topK }: RouterSite, { count, used, worth }: RouterGroups): void {
  const size = numExperts / count;
  const isWhole = Number.isInteger(size) && size >= (worth === "best" ? 1 : 2);
  if (isWhole && count <= MAX_GROUPS && used <= count && topK <= used * size) return;
  throw new UnsupportedError(
    `Top ${topK} of ${numExperts} experts in ${used} of ${count} groups: the router takes up to ${MAX_GROUPS} groups of ` +
      `equal size${worth === "best" ? "" : ", of two or more experts,"} whose open ones hold the top k.`,
  );
}
