/** The disk cache on a store that crashes, tears writes, fills up and rots: never a wrong byte, at worst a missing block. */
import { describe, expect, test } from "vitest";
import { type CacheOptions, type GroupPlace, ModelCache } from "../../../src/tiers/model-cache.ts";
import { expectEqualBytes } from "../../fixtures/equal-bytes.ts";
import { MemoryStore, seeded } from "../../fixtures/memory-store.ts";

const LABEL = "https://models.test/tales.gguf";
const BLOCK = 64;
const EXPERT_BYTES = 160; // two whole blocks and a half one

/** Byte `at` of a file of this version. */
const byteAt = (version: string, at: number): number => (at * 131 + (at >> 7) * 17 + version.charCodeAt(0) * 59) & 255;
const content = (version: string, offset: number, length: number) =>
  Uint8Array.from({ length }, (_, i) => byteAt(version, offset + i));

function options(over: Partial<CacheOptions> = {}): CacheOptions {
  return { label: LABEL, limitBytes: 1 << 20, now: () => 1000, worth: () => 1, ...over };
}

interface Piece {
  readonly offset: number;
  readonly length: number;
  readonly group: number;
  readonly place?: GroupPlace;
}

/** Blocks of expert `group` (from 1), which lie one after another in the file. */
function expertPieces(group: number): Piece[] {
  const start = 10_000 + group * EXPERT_BYTES;
  return [0, BLOCK, 2 * BLOCK].map((at) => {
    const length = Math.min(BLOCK, EXPERT_BYTES - at);
    return { offset: start + at, length, group, place: { at, bytes: EXPERT_BYTES } };
  });
}

const densePiece = (i: number): Piece => ({ offset: i * 100, length: 20 + ((i * 37) % 80), group: 0 });

async function openWithFile(store: MemoryStore, version = "v1", over: Partial<CacheOptions> = {}) {
  const cache = await ModelCache.open(store, options(over));
  const known = cache.file("a");
  if (known && known.version !== version) await cache.forgetFile(known);
  if (!cache.file("a")) await cache.addFile({ name: "a", size: 100_000, version });
  const file = cache.file("a")!;
  const keyOf = ({ offset, length, group }: Piece) => ({ file, offset, length, group });
  return {
    cache,
    put: (piece: Piece) => cache.put(keyOf(piece), content(version, piece.offset, piece.length), piece.place),
    get: (...pieces: Piece[]) => cache.get(pieces.map(keyOf)),
    has: (piece: Piece) => cache.has(keyOf(piece)),
    right: (piece: Piece) => content(version, piece.offset, piece.length),
  };
}

describe("what was stored", () => {
  test("is there again, dense blocks and experts, in this visit and the next", async () => {
    const store = new MemoryStore();
    const first = await openWithFile(store);
    const pieces = [densePiece(0), densePiece(3), ...expertPieces(1), ...expertPieces(7)];
    for (const piece of pieces) {
      expect(await first.get(piece)).toEqual([undefined]);
      await first.put(piece);
      expect(await first.get(piece)).toEqual([first.right(piece)]);
    }
    expect(await first.get(...pieces)).toEqual(pieces.map(first.right));
    expect(first.cache.storedExperts).toBe(2);
    await first.cache.close();
    const second = await openWithFile(store);
    expect(await second.get(...pieces, densePiece(1))).toEqual([...pieces.map(second.right), undefined]);
    expect(second.cache.storedExperts).toBe(2);
    expect(second.cache.holds(1)).toBe(true);
    expect(second.cache.holds(2)).toBe(false);
    const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
    expect(second.cache.counts).toMatchObject({ diskBytes: bytes, cacheWriteBytes: 0, corruptBlocks: 0 });
    expect(first.cache.counts.cacheWriteBytes).toBe(bytes);
  });

  test("an expert whose blocks came in any order lies in one stretch", async () => {
    const store = new MemoryStore();
    const { put, get, right } = await openWithFile(store);
    const [a1, a2, a3] = expertPieces(1) as [Piece, Piece, Piece];
    const [b1, b2, b3] = expertPieces(2) as [Piece, Piece, Piece];
    for (const piece of [a3, b1, a1, b3, b2, a2]) await put(piece);
    expect(await get(b1, b2, b3)).toEqual([b1, b2, b3].map(right));
    const stored = store.bytesOf("data");
    expect(stored).toHaveLength(2 * EXPERT_BYTES);
    expect(stored.slice(0, EXPERT_BYTES)).toEqual(content("v1", a1.offset, EXPERT_BYTES));
  });

  test("a shorter read from the same place is served by the longer block", async () => {
    const { put, get } = await openWithFile(new MemoryStore());
    await put({ offset: 0, length: 64, group: 0 });
    expect(await get({ offset: 0, length: 10, group: 0 })).toEqual([content("v1", 0, 10)]);
    expect(await get({ offset: 0, length: 65, group: 0 })).toEqual([undefined]);
  });

  test("the record of uses", async () => {
    const store = new MemoryStore();
    const { cache } = await openWithFile(store);
    expect([...(await cache.loadUses())]).toEqual([]);
    await cache.saveUses(Uint32Array.of(3, 1, 4));
    await cache.saveUses(Uint32Array.of(3, 1, 5));
    await cache.close();
    expect([...(await (await openWithFile(store)).cache.loadUses())]).toEqual([3, 1, 5]);
  });
});

describe("what is not used", () => {
  test("a corrupt block alone, which is counted and stored anew", async () => {
    const store = new MemoryStore();
    const { cache, put, get, right } = await openWithFile(store);
    const pieces = [...expertPieces(1), densePiece(0)];
    for (const piece of pieces) await put(piece);
    await cache.commit();
    store.damage("data", BLOCK + 5);
    expect(await get(...pieces)).toEqual(pieces.map((piece, i) => (i === 1 ? undefined : right(piece))));
    expect(cache.counts.corruptBlocks).toBe(1);
    expect(cache.holds(1)).toBe(false);
    await put(pieces[1]!);
    expect(await get(...pieces)).toEqual(pieces.map(right));
    await cache.close();
    const again = await openWithFile(store);
    expect(await again.get(...pieces)).toEqual(pieces.map(right));
    expect(again.cache.counts.corruptBlocks).toBe(0);
  });

  test("damage to the index costs the blocks of the entries it hit", async () => {
    const store = new MemoryStore();
    const { cache, put } = await openWithFile(store);
    for (let i = 0; i < 6; i++) await put(densePiece(i));
    await cache.close();
    const name = store.bytesOf("index-0").length > store.bytesOf("index-1").length ? "index-0" : "index-1";
    store.damage(name, 76 * 3 + 20);
    const again = await openWithFile(store);
    const found = await again.get(...[0, 1, 2, 3, 4, 5].map(densePiece));
    expect(found.map((bytes) => bytes !== undefined)).toEqual([true, true, false, true, true, true]);
    await again.put(densePiece(2));
    await again.cache.close();
    expect(await (await openWithFile(store)).get(densePiece(2))).toEqual([again.right(densePiece(2))]);
  });

  test("blocks of a version that has changed", async () => {
    const store = new MemoryStore();
    const old = await openWithFile(store, "v1");
    await old.put(densePiece(0));
    await old.cache.close();
    const changed = await openWithFile(store, "w2");
    expect(await changed.get(densePiece(0))).toEqual([undefined]);
    expect(store.bytesOf("data")).toHaveLength(0);
    await changed.put(densePiece(0));
    expect(await changed.get(densePiece(0))).toEqual([changed.right(densePiece(0))]);
    // A reader that still has the old file's identity neither finds nor stores anything.
    const stale = { file: { name: "a", size: 100_000, version: "v1" }, offset: 0, length: 20, group: 0 };
    await changed.cache.put({ ...stale, offset: 5000 }, content("v1", 5000, 20));
    expect(await changed.cache.get([stale, { ...stale, offset: 5000 }])).toEqual([undefined, undefined]);
  });

  test("a store of another model, or of another format", async () => {
    const store = new MemoryStore();
    const { cache, put } = await openWithFile(store);
    await put(densePiece(0));
    await cache.close();
    const other = await ModelCache.open(store, options({ label: "https://models.test/other.gguf" }));
    expect(other.file("a")).toBeUndefined();
    expect(other.bytes).toBe(0);
  });

  test("a store that another has open is refused, and whole afterwards", async () => {
    const store = new MemoryStore();
    const first = await openWithFile(store);
    await first.put(densePiece(0));
    await expect(ModelCache.open(store, options())).rejects.toMatchObject({ name: "NoModificationAllowedError" });
    await first.put(densePiece(1));
    await first.cache.close();
    expect(await (await openWithFile(store)).get(densePiece(1))).toEqual([first.right(densePiece(1))]);
  });
});

describe("room", () => {
  const worths: Record<number, number> = { 1: 5, 2: 1, 3: 3, 4: 4, 5: 0.5 };
  const over = { limitBytes: 3 * EXPERT_BYTES, worth: (group: number) => worths[group] ?? 0 };

  test("an expert makes room for one that is worth more, not for one that is worth less", async () => {
    const store = new MemoryStore();
    const { cache, put, get, right } = await openWithFile(store, "v1", over);
    for (const group of [1, 2, 3]) for (const piece of expertPieces(group)) await put(piece);
    for (const piece of expertPieces(4)) await put(piece);
    expect([1, 2, 3, 4, 5].map((group) => cache.holds(group))).toEqual([true, false, true, true, false]);
    for (const piece of expertPieces(5)) await put(piece);
    expect(cache.holds(5)).toBe(false);
    expect(cache.counts).toMatchObject({ cacheEvictions: 1, cacheRefusals: 3 });
    expect(await get(...expertPieces(4))).toEqual(expertPieces(4).map(right));
    expect(store.bytesOf("data").length).toBeLessThanOrEqual(over.limitBytes);
    await cache.close();
    const again = await openWithFile(store, "v1", over);
    expect([1, 2, 3, 4].map((group) => again.cache.holds(group))).toEqual([true, false, true, true]);
  });

  test("dense blocks take it from any expert", async () => {
    const { cache, put, get } = await openWithFile(new MemoryStore(), "v1", over);
    for (const group of [1, 2, 3]) for (const piece of expertPieces(group)) await put(piece);
    const dense = { offset: 0, length: 2 * EXPERT_BYTES, group: 0 };
    await put(dense);
    expect(await get(dense)).toEqual([content("v1", 0, 2 * EXPERT_BYTES)]);
    expect(cache.storedExperts).toBe(1);
  });

  test("when the browser refuses more, experts make room in what there is", async () => {
    const store = new MemoryStore();
    const { cache, put } = await openWithFile(store, "v1", { worth: over.worth });
    for (const group of [2, 3]) for (const piece of expertPieces(group)) await put(piece);
    await cache.commit();
    store.quotaBytes = store.totalBytes + 4000; // entries fit, blocks do not
    const large = { offset: 50_000, length: 5000, group: 4, place: { at: 0, bytes: 5000 } };
    await put(large);
    expect(cache.counts.cacheRefusals).toBe(1);
    expect(cache.disabled).toBe("");
    for (const piece of expertPieces(1)) await put(piece);
    expect([1, 2, 3].map((group) => cache.holds(group))).toEqual([true, false, true]);
  });

  test("storage that fails ends the writing, says why, and leaves the reading", async () => {
    const store = new MemoryStore();
    const { cache, put, get, right } = await openWithFile(store);
    await put(densePiece(0));
    store.crashAt = store.operations + 1;
    await put(densePiece(1));
    expect(cache.disabled).toMatch(/Crash: operation/);
    store.crashAt = Number.POSITIVE_INFINITY;
    await put(densePiece(2));
    expect(await get(densePiece(0), densePiece(1), densePiece(2))).toEqual([
      right(densePiece(0)),
      undefined,
      undefined,
    ]);
  });
});

/** One random life of a cache: visits that store, read, evict, rot and crash, the version changing now and then. */
async function live(seed: number): Promise<{ crashes: number; hits: number }> {
  const random = seeded(seed);
  const below = (n: number) => Math.floor(random() * n);
  const store = new MemoryStore();
  const limitBytes = random() < 0.5 ? 1 << 20 : 6 * EXPERT_BYTES;
  const uses = new Map<number, number>();
  const worth = (group: number) => uses.get(group) ?? 0;
  let [version, crashes, hits, evictable] = ["v", 0, 0, limitBytes < 1 << 20];
  let durable: Piece[] = [];
  for (let visit = 0; visit < 4; visit++) {
    if (random() < 0.15) [version, durable] = [String.fromCharCode(version.charCodeAt(0) + 1), []];
    if (random() < 0.6) store.crashAt = store.operations + 1 + below(60);
    const opened = await openWithFile(store, version, { limitBytes, worth }).catch(() => undefined);
    if (opened) {
      const { cache, put, get, has, right } = opened;
      // What was durable before is still here, when nothing took its room.
      if (!evictable) for (const piece of durable) expect(has(piece)).toBe(true);
      const stored: Piece[] = [];
      for (let step = 0; step < 12; step++) {
        const group = 1 + below(10);
        uses.set(group, worth(group) + 1);
        const pieces = random() < 0.4 ? [densePiece(below(20))] : expertPieces(group);
        for (const [i, bytes] of (await get(...pieces)).entries()) {
          if (bytes) hits += 1;
          if (bytes) expectEqualBytes(bytes, right(pieces[i]!));
          else await put(pieces[i]!);
        }
        stored.push(...pieces.filter(has));
        if (random() < 0.25) {
          await cache.commit();
          if (cache.disabled === "") durable = [...durable, ...stored];
        }
        if (random() < 0.05) {
          store.damage("data", below(2000));
          evictable = true; // a damaged block may be missing from now on
        }
      }
      if (random() < 0.3) await cache.close();
    }
    if (random() < 0.7 || !opened) crashes += 1;
    store.crash(random);
  }
  return { crashes, hits };
}

test("300 random lives with crashes at any write: never a wrong byte, and nothing durable is lost", async () => {
  let [crashes, hits] = [0, 0];
  for (let seed = 1; seed <= 300; seed++) {
    const life = await live(seed).catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
    crashes += life.crashes;
    hits += life.hits;
  }
  expect(crashes).toBeGreaterThan(600);
  expect(hits).toBeGreaterThan(7_000);
}, 60_000);

test("a crash at every single operation of one life", async () => {
  const pieces = [densePiece(0), ...expertPieces(1), densePiece(4), ...expertPieces(2)];
  for (let crashAt = 1; crashAt < 40; crashAt++) {
    for (const seed of [1, 2, 3]) {
      const store = new MemoryStore();
      store.crashAt = crashAt;
      const first = await openWithFile(store).catch(() => undefined);
      for (const piece of pieces) {
        await first?.put(piece);
        await first?.cache.commit();
      }
      store.crash(seeded(seed * 100 + crashAt));
      const second = await openWithFile(store);
      const found = await second.get(...pieces);
      found.forEach((bytes, i) => {
        if (bytes) expect(bytes).toEqual(second.right(pieces[i]!));
      });
      for (const piece of pieces) await second.put(piece);
      expect(await second.get(...pieces)).toEqual(pieces.map(second.right));
    }
  }
});

test("a long index is written anew when most of it is void", async () => {
  const store = new MemoryStore();
  let wanted = 0;
  const worth = (group: number) => Number(group === wanted);
  const first = await openWithFile(store, "v1", { limitBytes: EXPERT_BYTES, worth });
  for (let i = 0; i < 1400; i++) {
    wanted = 1 + (i % 2);
    for (const piece of expertPieces(wanted)) await first.put(piece);
  }
  await first.cache.close();
  const before = store.bytesOf("index-0").length + store.bytesOf("index-1").length;
  expect(before).toBeGreaterThan(4096 * 76);
  const second = await openWithFile(store, "v1", { limitBytes: EXPERT_BYTES });
  const pieces = expertPieces(2);
  expect(await second.get(...pieces)).toEqual(pieces.map(second.right));
  await second.cache.close();
  const third = await openWithFile(store, "v1", { limitBytes: EXPERT_BYTES });
  expect(await third.get(...pieces)).toEqual(pieces.map(third.right));
});
