// The JavaScript heaps of a page and its workers, asked through the debugger.

/**
 * Bytes in use; `buffers` are array buffers, which lie outside the heap.
 * @typedef {{ heap: number, buffers: number }} HeapUse
 */

/**
 * @param {import("playwright").Page} page
 * @returns {Promise<() => Promise<{ page: HeapUse, workers: HeapUse }>>} reads what is left after a garbage collection
 */
export async function attachHeaps(page) {
  const session = await page.context().newCDPSession(page);
  /** @type {Set<string>} */
  const workers = new Set();
  /** @type {Map<number, { sessionId: string, answer: (result: Record<string, number>) => void }>} */
  const waiting = new Map();
  let nextId = 1;
  session.on("Target.attachedToTarget", ({ sessionId }) => workers.add(sessionId));
  session.on("Target.detachedFromTarget", ({ sessionId }) => {
    workers.delete(sessionId);
    // A worker that ends while it is asked answers nothing any more, and uses nothing.
    for (const asked of waiting.values()) if (asked.sessionId === sessionId) asked.answer({});
  });
  session.on("Target.receivedMessageFromTarget", ({ message }) => {
    const { id, result } = JSON.parse(message);
    waiting.get(id)?.answer(result ?? {});
  });
  await session.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });

  /** @param {string} sessionId @param {string} method @returns {Promise<Record<string, number>>} */
  const ask = (sessionId, method) =>
    new Promise((resolve) => {
      const id = nextId++;
      const answer = (/** @type {Record<string, number>} */ result) => {
        clearTimeout(ended);
        waiting.delete(id);
        resolve(result);
      };
      const gone = () => {
        workers.delete(sessionId);
        answer({});
      };
      const ended = setTimeout(gone, ENDED_MS); // some that end are not told of
      waiting.set(id, { sessionId, answer });
      const message = JSON.stringify({ id, method });
      session.send("Target.sendMessageToTarget", { sessionId, message }).catch(gone);
    });
  const useOf = (/** @type {Record<string, number>} */ usage) => ({
    heap: usage.usedSize ?? 0,
    buffers: usage.backingStorageSize ?? 0,
  });
  return async () => {
    await session.send("HeapProfiler.collectGarbage");
    const own = useOf({ ...(await session.send("Runtime.getHeapUsage")) });
    const all = { heap: 0, buffers: 0 };
    for (const sessionId of [...workers]) {
      await ask(sessionId, "HeapProfiler.collectGarbage");
      const { heap, buffers } = useOf(await ask(sessionId, "Runtime.getHeapUsage"));
      all.heap += heap;
      all.buffers += buffers;
    }
    return { page: own, workers: all };
  };
}

/** A worker that has not answered by then has ended. */
const ENDED_MS = 60_000;

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
