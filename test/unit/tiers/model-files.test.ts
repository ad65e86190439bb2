/** Ranges of files through the cache: blocks, repeated ranges, and a file that changes under a visit's feet. */
import { expect, test } from "vitest";
import { SourceError } from "../../../src/errors.ts";
import type { ByteSource, FileSet } from "../../../src/sources/byte-source.ts";
import { FetchQueue } from "../../../src/tiers/fetch-queue.ts";
import { ModelCache } from "../../../src/tiers/model-cache.ts";
import { BLOCK_BYTES, ModelFiles } from "../../../src/tiers/model-files.ts";
import { expectEqualBytes } from "../../fixtures/equal-bytes.ts";
import { MemoryStore } from "../../fixtures/memory-store.ts";

const SIZE = 4 * BLOCK_BYTES + 1000;
// No stretch of it comes twice, so that what is found by its bytes is the block that is meant.
let state = 1;
const file = Uint8Array.from({ length: SIZE }, () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state >>> 24;
});
const demand = { priority: "demand" } as const;

/** A folder of one file `a` whose address never changes, with the reads it was asked for. */
function folder(version: () => string, immutable = true) {
  const reads: string[] = [];
  const origin: FileSet = {
    label: "https://models.test/",
    entry: undefined,
    ...(immutable ? { stat: async () => "immutable" as const } : {}),
    open: async (name): Promise<ByteSource | undefined> =>
      name === "a"
        ? {
            label: name,
            version: version(),
            size: async () => SIZE,
            read: async (offset, length) => {
              reads.push(`${offset}+${length}`);
              return file.slice(offset, offset + length);
            },
          }
        : undefined,
  };
  return { origin, reads };
}

async function openFiles(store: MemoryStore, origin: FileSet) {
  const options = { label: origin.label, limitBytes: 1 << 30, now: () => 0, worth: () => 1 };
  const cache = await ModelCache.open(store, options);
  const files = new ModelFiles(origin, cache, new FetchQueue());
  const opened = (await files.open("a"))!;
  const end = async () => {
    await files.stored();
    await cache.close();
  };
  return { cache, files, opened, end };
}

test("a large range is blocks: asked for together, and a damaged one again alone", async () => {
  const store = new MemoryStore();
  const { origin, reads } = folder(() => "one");
  const first = await openFiles(store, origin);
  const range = { offset: 100, length: 3 * BLOCK_BYTES + 500 };
  expectEqualBytes(
    await first.files.read({ file: first.opened, ...range }, demand),
    file.slice(100, 100 + range.length),
  );
  expect(reads).toEqual([`100+${range.length}`]);
  await first.end();
  // Blocks lie in the order in which their digests were ready.
  const wanted = file.subarray(100 + BLOCK_BYTES, 100 + BLOCK_BYTES + 4096);
  store.damage("data", Buffer.from(store.bytesOf("data")).indexOf(wanted) + 17);
  const second = await openFiles(store, origin);
  expectEqualBytes(
    await second.files.read({ file: second.opened, ...range }, demand),
    file.slice(100, 100 + range.length),
  );
  expect(reads.slice(1)).toEqual([`${100 + BLOCK_BYTES}+${BLOCK_BYTES}`]);
  expect(second.cache.counts.corruptBlocks).toBe(1);
  await expect(second.files.read({ file: second.opened, offset: SIZE - 5, length: 6 }, demand)).rejects.toThrow(
    SourceError,
  );
});

test("a range that two matrices of an expert share is fetched and stored once", async () => {
  const store = new MemoryStore();
  const { origin, reads } = folder(() => "one");
  const first = await openFiles(store, origin);
  const both = { file: first.opened, offset: 2000, length: 300 };
  const down = { file: first.opened, offset: 2300, length: 100 };
  const kept = await first.files.readGroup([both, both, down], 1, demand, (parts) => {
    expect(parts.map(({ length }) => length)).toEqual([300, 300, 100]);
    for (const part of parts.slice(0, 2)) expectEqualBytes(part, file.slice(2000, 2300));
    expect(new Set(parts.map(({ buffer }) => buffer)).size, "copies").toBe(1);
    return parts;
  });
  await first.files.stored();
  expect(reads).toEqual(["2000+400"]);
  expect(first.cache.holds(1)).toBe(true);
  expectEqualBytes(store.bytesOf("data"), file.slice(2000, 2400));
  expect(
    kept.map(({ length }) => length),
    "given back",
  ).toEqual([0, 0, 0]);
  await first.files.readGroup([both, both, down], 1, demand, (parts) => {
    for (const part of parts.slice(0, 2)) expectEqualBytes(part, file.slice(2000, 2300));
  });
  expect(first.files.diskHits).toBe(1);
});

test("a file that changed behind an address that was not asked: SourceError, and a fresh start at the next visit", async () => {
  const store = new MemoryStore();
  let version = "one";
  const { origin, reads } = folder(() => version);
  const first = await openFiles(store, origin);
  await first.files.read({ file: first.opened, offset: 0, length: 50 }, demand);
  await first.end();
  version = "two";
  const second = await openFiles(store, origin);
  await second.files.read({ file: second.opened, offset: 0, length: 50 }, demand);
  const missing = second.files.read({ file: second.opened, offset: 500, length: 50 }, demand);
  await expect(missing).rejects.toThrow(/no longer the one that was kept in the cache; load the model again/);
  await second.end();
  const third = await openFiles(store, origin);
  const before = reads.length;
  await third.files.read({ file: third.opened, offset: 0, length: 50 }, demand);
  expect(reads.slice(before)).toEqual(["0+50"]);
});

test("a place that opens for nothing is asked by opening; a missing file stays missing, and may appear", async () => {
  const store = new MemoryStore();
  const { origin } = folder(() => "one", false);
  const first = await openFiles(store, origin);
  expect(await first.files.open("b")).toBeUndefined();
  expect(first.cache.file("b")).toMatchObject({ size: -1 });
  expect(await first.files.open("b")).toBeUndefined();
  const both: FileSet = { ...origin, open: () => origin.open("a") };
  const later = new ModelFiles(both, first.cache, new FetchQueue());
  expect(await later.open("b")).toMatchObject({ identity: { name: "b", size: SIZE } });
});

test("a read of many blocks that fails early, or is given up, ends once, when all its parts have ended", async () => {
  const size = 40 * BLOCK_BYTES;
  let under = 0;
  const unheard: unknown[] = [];
  const hear = (reason: unknown) => unheard.push(reason);
  process.on("unhandledRejection", hear);
  const source: ByteSource = {
    label: "large",
    version: "one",
    size: async () => size,
    read: async (offset) => {
      under += 1;
      await new Promise((resolve) => setTimeout(resolve, offset === 0 ? 0 : 30));
      under -= 1;
      throw new SourceError("gone");
    },
  };
  const origin: FileSet = { label: "https://models.test/", entry: undefined, open: async () => source };
  const { cache, files, opened } = await openFiles(new MemoryStore(), origin);
  const get = cache.get.bind(cache);
  cache.get = async (keys) => {
    await new Promise((resolve) => setTimeout(resolve, 10)); // a disk takes longer than a refusal
    return get(keys);
  };
  const range = { file: opened, offset: 0, length: size };
  await expect(files.read(range, demand)).rejects.toThrow(SourceError);
  expect(under).toBe(0);
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 15);
  const slow = { file: opened, offset: BLOCK_BYTES, length: size - BLOCK_BYTES };
  const given = files.read(slow, { ...demand, signal: stop.signal });
  await expect(given).rejects.toMatchObject({ name: "AbortError" });
  expect(under).toBe(0);
  await new Promise((resolve) => setTimeout(resolve, 5));
  process.off("unhandledRejection", hear);
  expect(unheard).toEqual([]);
});
