/** The words beside the numbers of `canRun`: what is off here, and what the estimate takes for granted. */
import type { AdapterFacts } from "../gpu/adapter-facts.ts";
import { humanBytes } from "../util/math.ts";
import type { Assumption, DiskFacts, Remark, WarningCode } from "./run-answer.ts";
import { type DeviceSpeed, expectedHitRate, expertsTouched, type LinkSpeed } from "./run-estimate.ts";
import type { TokenWork } from "./token-work.ts";

/** What the estimate is for. */
export interface Basis {
  /** Slots a layer at the suggested budget, and experts of the layer with the most. */
  readonly slots: number;
  readonly experts: number;
  /** The device's bindings can hold every expert. */
  readonly holdsAll: boolean;
  readonly promptTokens: number;
  /** Keys and values that a token behind the prompt reads, in bytes. */
  readonly kvBytes: number;
}

export function deviceWarnings(
  facts: AdapterFacts | undefined,
  { saveData }: { readonly saveData?: boolean | undefined },
  hasTokenizer: boolean,
): Remark<WarningCode>[] {
  const warnings: Remark<WarningCode>[] = [];
  if (facts?.isFallback) {
    const text = `The adapter (${facts.name}) computes on the processor, many times slower than a GPU.`;
    warnings.push({ code: "software-adapter", text });
  }
  if (!hasTokenizer) {
    warnings.push({ code: "no-tokenizer", text: "The model comes without a tokenizer that is read: only ids work." });
  }
  if (saveData) {
    const text = "You asked the browser to save data: the link is not tried, and nothing is fetched ahead.";
    warnings.push({ code: "save-data", text });
  }
  return warnings;
}

export function diskWarnings(disk: DiskFacts): Remark<WarningCode>[] {
  const { availableBytes, neededBytes, cachedBytes, persistent } = disk;
  if (availableBytes === null) {
    return [{ code: "no-storage", text: "This page may not store: what is read is downloaded again at every visit." }];
  }
  const warnings: Remark<WarningCode>[] = [];
  const missing = neededBytes - cachedBytes;
  if (missing > availableBytes) {
    const text = `${humanBytes(missing)} are still to store and ${humanBytes(availableBytes)} are free: the rest is fetched again.`;
    warnings.push({ code: "disk-too-small", text });
  }
  if (!persistent) {
    const text =
      "The browser may clear this page's storage when disk runs low; it is asked not to when a model is loaded.";
    warnings.push({ code: "storage-not-persistent", text });
  }
  return warnings;
}

export function assumptionsOf(
  work: TokenWork,
  { slots, experts, promptTokens, kvBytes }: Basis,
  device: DeviceSpeed,
  link: LinkSpeed | null,
  dtype: string,
): Assumption[] {
  const chosen = work.moe.reduce((sum, { topK }) => sum + topK, 0);
  const layer = work.moe[0];
  const list: Assumption[] = [
    assume(
      "weightBytesPerToken",
      work.denseBytes + work.chosenExpertBytes,
      "bytes",
      "dense matrices and chosen experts, read once for a token",
    ),
    assume("kvBytesPerToken", kvBytes, "bytes", "keys and values read for a token behind the prompt"),
    assume(
      "dispatchesPerToken",
      work.dispatches,
      "count",
      "kernels of a token, each with the measured price of a dispatch beside its bytes",
    ),
    assume(
      "matvecSpeed",
      device.matvecBytesPerSecond,
      "bytes/s",
      `measured here with ${dtype}, and taken for every kernel and storage type`,
    ),
    assume(
      "roundTrip",
      device.roundTripMs,
      "ms",
      "measured here; one a token, and one more for each layer that misses",
    ),
    assume(
      "promptTokens",
      promptTokens,
      "tokens",
      "in the cache when the speed is estimated; longer conversations are slower",
    ),
  ];
  if (!layer) return list;
  const touched = expertsTouched(layer.numExperts, layer.topK, promptTokens) / layer.numExperts;
  list.push(
    assume(
      "slotShare",
      slots / experts,
      "share",
      `${slots} of ${experts} experts of a layer resident at the suggested budget`,
    ),
    assume(
      "hitRate",
      expectedHitRate(slots, experts),
      "share",
      "of look-ups at that share: the lowest of three traces of gpt-oss-20b and Qwen3-30B; small models hit less",
    ),
    assume(
      "expertsPerToken",
      chosen,
      "count",
      "experts chosen for a token; those that miss are copied at the measured speed",
    ),
    assume(
      "copySpeed",
      device.copyBytesPerSecond,
      "bytes/s",
      "measured here, from host memory to the GPU; experts that only disk has come slower",
    ),
    assume(
      "promptExpertShare",
      touched,
      "share",
      "of a layer's experts that the prompt chooses: as those traces do; uneven routing chooses fewer",
    ),
  );
  if (!link) return list;
  return [
    ...list,
    assume("linkLatency", link.latencyMs, "ms", "measured once with a request of 4 KiB; six requests at a time"),
    assume("linkSpeed", link.bytesPerSecond, "bytes/s", "measured once with 240 KiB, which understates a fast link"),
  ];
}

function assume(name: string, value: number, unit: Assumption["unit"], text: string): Assumption {
  return { name, value, unit, text };
}
