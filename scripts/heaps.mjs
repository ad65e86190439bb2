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
  /** @type {Map<number, (result: Record<string, number>) => void>} */
  const waiting = new Map();
  let nextId = 1;
  session.on("Target.attachedToTarget", ({ sessionId }) => workers.add(sessionId));
  session.on("Target.detachedFromTarget", ({ sessionId }) => workers.delete(sessionId));
  session.on("Target.receivedMessageFromTarget", ({ message }) => {
    const { id, result } = JSON.parse(message);
    waiting.get(id)?.(result ?? {});
    waiting.delete(id);
  });
  await session.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });

  /** @param {string} sessionId @param {string} method @returns {Promise<Record<string, number>>} */
  const ask = (sessionId, method) =>
    new Promise((resolve, reject) => {
      const id = nextId++;
      waiting.set(id, resolve);
      session.send("Target.sendMessageToTarget", { sessionId, message: JSON.stringify({ id, method }) }).catch(reject);
    });
  const useOf = (/** @type {Record<string, number>} */ usage) => ({
    heap: usage.usedSize ?? 0,
    buffers: usage.backingStorageSize ?? 0,
  });
  return async () => {
    await session.send("HeapProfiler.collectGarbage");
    const own = useOf({ ...(await session.send("Runtime.getHeapUsage")) });
    const all = { heap: 0, buffers: 0 };
    for (const sessionId of workers) {
      await ask(sessionId, "HeapProfiler.collectGarbage");
      const { heap, buffers } = useOf(await ask(sessionId, "Runtime.getHeapUsage"));
      all.heap += heap;
      all.buffers += buffers;
    }
    return { page: own, workers: all };
  };
}
