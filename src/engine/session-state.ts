/** Moves what a session's cache holds between the GPU and a snapshot's bytes, and from one session's cache to another's. */
import type { Span } from "../gpu/queue.ts";
import { untilAborted } from "../util/abort.ts";
import type { KvCache, KvStore } from "./kv-cache.ts";
import { readBackBytes } from "./memory-plan.ts";
import type { Parts } from "./parts.ts";
import { layOutSnapshot, type SnapshotState, type StoreShape, sealSnapshot } from "./snapshot.ts";
import type { TimelineState } from "./timeline.ts";

/** Uploads under way at once; the browser holds a copy of each. */
const UPLOAD_BYTES = 8 * 2 ** 20;

/** The bytes of a session whose timeline is in the cache. */
export async function saveState(
  parts: Parts,
  kv: KvCache,
  timeline: TimelineState,
  contextLength: number,
  signal: AbortSignal | undefined,
): Promise<ArrayBuffer> {
  const model = await untilAborted(parts.weights.fingerprint(parts.spec), signal);
  const stores = kv.stores.map((store) => shapeOf(store, timeline));
  const { bytes, rowsAt } = layOutSnapshot({ ...timeline, model, contextLength, stores });
  const spans = kv.stores.map(({ buffer }, i): Span => ({ buffer, offset: 0, bytes: usedBytes(stores[i]) }));
  let at = rowsAt;
  for await (const piece of readPieces(parts, spans, signal)) {
    bytes.set(new Uint8Array(piece), at);
    at += piece.byteLength;
  }
  await untilAborted(sealSnapshot(bytes), signal);
  return bytes.buffer;
}

/** Writes a snapshot's rows into a cache that is cut as its own was. */
export async function loadState(
  { gpu }: Parts,
  kv: KvCache,
  { stores }: SnapshotState,
  rows: Uint8Array<ArrayBuffer>,
  signal: AbortSignal | undefined,
): Promise<void> {
  let at = 0;
  for (const [i, { buffer }] of kv.stores.entries()) {
    const total = usedBytes(stores[i]);
    for (let offset = 0; offset < total; offset += UPLOAD_BYTES) {
      signal?.throwIfAborted();
      const length = Math.min(UPLOAD_BYTES, total - offset);
      gpu.queue.write(buffer, offset, rows.subarray(at + offset, at + offset + length));
      if (total > UPLOAD_BYTES) await gpu.queue.idle();
    }
    at += total;
  }
  await gpu.queue.idle();
}

/** Copies on the GPU what `from` holds of a timeline into a cache cut the same way. */
export function copyState({ gpu }: Parts, from: KvCache, to: KvCache, timeline: TimelineState): void {
  const copies = from.stores.flatMap((store, i) => {
    const target = to.stores[i]?.buffer;
    const bytes = usedBytes(shapeOf(store, timeline));
    if (!target || bytes === 0) return [];
    return [{ kind: "copy", from: store.buffer, fromOffset: 0, to: target, toOffset: 0, bytes } as const];
  });
  gpu.queue.submit(copies);
}

/** Bytes of `spans`, one after another, in read-backs no larger than the memory plan has room for. */
export async function* readPieces(
  { gpu, sizes }: Parts,
  spans: readonly Span[],
  signal: AbortSignal | undefined,
): AsyncGenerator<ArrayBuffer, void, undefined> {
  const most = readBackBytes(sizes);
  let batch: Span[] = [];
  let room = most;
  for (const { buffer, offset, bytes } of spans) {
    for (let done = 0; done < bytes; ) {
      const take = Math.min(room, bytes - done);
      batch.push({ buffer, offset: offset + done, bytes: take });
      done += take;
      room -= take;
      if (room > 0) continue;
      signal?.throwIfAborted();
      yield await gpu.queue.submitAndRead([], batch);
      [batch, room] = [[], most];
    }
  }
  signal?.throwIfAborted();
  if (batch.length > 0) yield await gpu.queue.submitAndRead([], batch);
}

/** A ring that was not filled yet holds the first positions; later all of its rows count. */
function shapeOf({ rowBytes, capacity }: KvStore, { computed, written }: TimelineState): StoreShape {
  return { rowBytes, capacity, rows: written > capacity ? capacity : Math.min(computed, capacity) };
}

function usedBytes(shape: StoreShape | undefined): number {
  return shape ? shape.rowBytes * shape.rows : 0;
}
