// The JavaScript heaps of a page and its workers, asked through the debugger, and how they grow.

/**
 * Bytes in use; `buffers` are array buffers, which lie outside the heap.
 * @typedef {{ heap: number, buffers: number }} HeapUse
 */

const NOTHING = { heap: 0, buffers: 0 };

/**
 * What page and workers use after a garbage collection.
 * @param {import("./bare-page.mjs").BarePage} bare
 * @returns {Promise<{ page: HeapUse, workers: HeapUse }>}
 */
export async function readHeaps(bare) {
  const { page, workers } = bare.sessions();
  const useOf = async (/** @type {string} */ session) => {
    await bare.send("HeapProfiler.collectGarbage", {}, session);
    const { usedSize = 0, backingStorageSize = 0 } = await bare.send("Runtime.getHeapUsage", {}, session);
    return { heap: usedSize, buffers: backingStorageSize };
  };
  const all = { heap: 0, buffers: 0 };
  for (const worker of workers) {
    const { heap, buffers } = await useOf(worker).catch(() => NOTHING); // it ended meanwhile
    all.heap += heap;
    all.buffers += buffers;
  }
  return { page: await useOf(page), workers: all };
}

/** Samples from this share of a run on tell its growth: before, caches and counters still fill. */
const SETTLED = 0.25;
/** Growth over a run that nobody would notice. */
const FLAT_SHARE = 0.02;

/**
 * How a use of memory goes on: bytes a token of the line through the samples of the settled part (least squares), how far they
 * lie about it (standard deviation), and whether the line rises by less than that over the run, or by less than 2 %.
 * @param {{ token: number, bytes: number }[]} samples
 */
export function growth(samples) {
  const settled = samples.slice(Math.floor(SETTLED * samples.length));
  const mean = (/** @type {number[]} */ values) => values.reduce((a, b) => a + b, 0) / Math.max(1, values.length);
  const [x, y] = [mean(settled.map(({ token }) => token)), mean(settled.map(({ bytes }) => bytes))];
  const spread = settled.reduce((sum, { token }) => sum + (token - x) ** 2, 0);
  const perToken =
    spread > 0 ? settled.reduce((sum, { token, bytes }) => sum + (token - x) * (bytes - y), 0) / spread : 0;
  const noise = Math.sqrt(mean(settled.map(({ token, bytes }) => (bytes - y - perToken * (token - x)) ** 2)));
  const over = perToken * ((settled.at(-1)?.token ?? 0) - (settled[0]?.token ?? 0));
  const flat = over <= Math.max(2 * noise, FLAT_SHARE * y);
  return { first: samples[0]?.bytes ?? 0, last: samples.at(-1)?.bytes ?? 0, perToken, noise, flat };
}
