/**
 * How fast a model will run on a device that was measured for half a second, and how many bytes come before its first
 * token: arithmetic on plain numbers. What it takes for granted is named here, each with where it was measured, and is
 * told with the answer.
 */
import type { TokenWork } from "./token-work.ts";

/** What a device was measured to do. Speeds in bytes a second. */
export interface DeviceSpeed {
  /** Host memory into a GPU buffer. */
  readonly copyBytesPerSecond: number;
  /** Stored weights through the matvec kernel, in the storage type that most of the model has. */
  readonly matvecBytesPerSecond: number;
  /** What a dispatch costs beside its bytes. */
  readonly dispatchMs: number;
  /** A submission and its read-back, with next to nothing in between. */
  readonly roundTripMs: number;
}

/** What a link was measured to do with a quarter of a mebibyte. */
export interface LinkSpeed {
  /** From a request to its answer. */
  readonly latencyMs: number;
  /** A short probe understates fast links, which need longer to reach their speed. */
  readonly bytesPerSecond: number;
}

export interface SpeedEstimate {
  readonly tokensPerSecond: number;
  readonly msPerToken: number;
  /** Of it: kernels and dispatches, round trips to the GPU, and waiting for experts. */
  readonly computeMs: number;
  readonly roundTripMs: number;
  readonly fetchMs: number;
  /** Expert look-ups that find the expert in a slot, from 0 to 1. */
  readonly hitRate: number;
  /** A token's submissions, each with a read-back. */
  readonly rounds: number;
  /** Experts that a token brings into slots, and their bytes there. */
  readonly expertsFetched: number;
  readonly bytesFetched: number;
}

/**
 * Share of hits at a share of a layer's slots, policy "successor", in rounds as a decode step has them: the lowest of the
 * three traces of `test/fixtures/traces` at each share, first touches counted as misses (`npm run replay`).
 */
const HIT_CURVE: readonly (readonly [share: number, hits: number])[] = [
  [0, 0],
  [3 / 32, 0.44],
  [6 / 32, 0.634],
  [10 / 32, 0.796],
  [13 / 32, 0.867],
  [16 / 32, 0.913],
  [24 / 32, 0.917],
  [1, 1],
];

/** Tokens in a row touch as many experts as so-manyth a power of independent ones: 0.48 to 0.65 on those traces from 32 on. */
const SAME_TEXT_EXPONENT = 0.65;

/** Requests that a browser keeps open to one HTTP/1.1 host. */
const PARALLEL_REQUESTS = 6;

/** Expected share of expert look-ups that hit when `slots` of `experts` are resident. Grows with slots, from 0 to 1. */
export function expectedHitRate(slots: number, experts: number): number {
  if (experts === 0 || slots >= experts) return 1;
  const share = Math.max(0, slots / experts);
  const above = Math.max(
    1,
    HIT_CURVE.findIndex(([at]) => at >= share),
  );
  const [x0, y0] = HIT_CURVE[above - 1] ?? [0, 0];
  const [x1, y1] = HIT_CURVE[above] ?? [1, 1];
  return y0 + ((share - x0) / (x1 - x0)) * (y1 - y0);
}

/** Experts of one layer that a text of `tokens` tokens is expected to choose at least once. */
export function expertsTouched(numExperts: number, topK: number, tokens: number): number {
  if (numExperts === 0 || tokens <= 0) return 0;
  if (tokens <= 1) return Math.min(topK, numExperts);
  const independent = tokens ** SAME_TEXT_EXPONENT;
  return Math.min(numExperts, numExperts * (1 - (1 - topK / numExperts) ** independent));
}

/** Bytes of the file that experts of a prompt of `tokens` tokens take. */
export function promptExpertBytes({ moe }: TokenWork, tokens: number): number {
  return moe.reduce((sum, { numExperts, topK, storedBytes }) => {
    return sum + expertsTouched(numExperts, topK, tokens) * storedBytes;
  }, 0);
}

/**
 * Speed with `slots` slots a layer. A step is taken to stop at every layer that misses, each as likely as if its misses
 * were independent: 10 to 30 % more rounds than the traces show. Running on behind a miss, which the engine does where it
 * measures that to pay, is left out.
 * @param kvBytes keys and values that a token reads.
 * @param link where missing experts come from; without one, from host memory.
 */
export function estimateSpeed(
  work: TokenWork,
  slots: number,
  kvBytes: number,
  device: DeviceSpeed,
  link?: LinkSpeed,
): SpeedEstimate {
  let [wanted, missingLayers, expertsFetched, bytesFetched, storedFetched, requestsInTurn] = [0, 0, 0, 0, 0, 0];
  for (const { numExperts, topK, slotBytes, storedBytes, ranges } of work.moe) {
    const hits = expectedHitRate(slots, numExperts);
    const misses = topK * (1 - hits);
    const chance = 1 - hits ** topK;
    wanted += topK;
    missingLayers += chance;
    expertsFetched += misses;
    bytesFetched += misses * slotBytes;
    storedFetched += misses * storedBytes;
    requestsInTurn += Math.max(chance, (misses * ranges) / PARALLEL_REQUESTS);
  }
  const bytes = work.denseBytes + work.chosenExpertBytes + kvBytes;
  const computeMs = work.dispatches * device.dispatchMs + millisecondsFor(bytes, device.matvecBytesPerSecond);
  const rounds = 1 + missingLayers;
  const roundTripMs = rounds * device.roundTripMs;
  const linkMs = link ? requestsInTurn * link.latencyMs + millisecondsFor(storedFetched, link.bytesPerSecond) : 0;
  const fetchMs = millisecondsFor(bytesFetched, device.copyBytesPerSecond) + linkMs;
  const msPerToken = computeMs + roundTripMs + fetchMs;
  return {
    tokensPerSecond: 1000 / msPerToken,
    msPerToken,
    computeMs,
    roundTripMs,
    fetchMs,
    hitRate: wanted === 0 ? 1 : 1 - expertsFetched / wanted,
    rounds,
    expertsFetched,
    bytesFetched,
  };
}

function millisecondsFor(bytes: number, bytesPerSecond: number): number {
  return (bytes / bytesPerSecond) * 1000;
}
