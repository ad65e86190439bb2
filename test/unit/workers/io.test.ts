/** Files and experts through disk cache and network, without a browser: visits to a real server, storage in memory. */
import { afterEach, describe, expect, test } from "vitest";
import { openCheckpoint } from "../../../src/formats/open-checkpoint.ts";
import { describeModel } from "../../../src/models/registry.ts";
import { listModels, removeModel } from "../../../src/tiers/catalog.ts";
import { createWeightMap } from "../../../src/weights/weight-map.ts";
import { IoClient, type IoPlace } from "../../../workers/io-client.ts";
import type { IoOptions } from "../../../workers/io-protocol.ts";
import { expectEqualBytes } from "../../fixtures/equal-bytes.ts";
import { openMai, readRepositoryFile } from "../../fixtures/files.ts";
import { type Behaviour, serveFiles, type TestServer } from "../../fixtures/http-server.ts";
import { memoryOpfs } from "../../fixtures/memory-opfs.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const FOLDERS = ["m/", `resolve/${COMMIT}/`];
const NAMES = ["config.json", "model.safetensors"];
const content = NAMES.map((name) => readRepositoryFile(`test/fixtures/mai/base-f32/${name}`));
const truth = await openMai("base-f32").then((checkpoint) => {
  const { spec, names } = describeModel(checkpoint);
  return { spec, weights: createWeightMap(checkpoint, spec, names) };
});
const MOE = truth.spec.layers.flatMap(({ mlp }, layer) => (mlp?.kind === "moe" ? [{ layer, mlp }] : []));
const {
  layer: LAYER,
  mlp: { numExperts: NUM_EXPERTS },
} = MOE[0]!;
const TOTAL = MOE.reduce((sum, { mlp }) => sum + mlp.numExperts, 0);
const EXPERT_BYTES = truth.weights.expertRanges(LAYER, 0).reduce((sum, { length }) => sum + length, 0);

/** Of the dense tensors so many are read and compared; embedding and head are among them. */
const DENSE_READ = 8;

const servers: TestServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

async function serve(behaviour: Behaviour = { etag: () => '"one"' }, files = content): Promise<TestServer> {
  const entries = FOLDERS.flatMap((folder) => NAMES.map((name, i) => [`${folder}${name}`, files[i]!] as const));
  const server = await serveFiles(Object.fromEntries(entries), behaviour);
  servers.push(server);
  return server;
}

/** One visit: the model is opened, its dense weights read, then what `run` does; everything is compared with the truth. */
async function visit<T>(
  url: string,
  place: IoPlace,
  run: (io: IoClient, popular: number[][]) => Promise<T>,
  options: Partial<IoOptions> = {},
) {
  const io = await IoClient.open(url, { cache: true, ...options }, place);
  try {
    const checkpoint = await openCheckpoint(io.files);
    const { spec, names } = describeModel(checkpoint);
    const weights = createWeightMap(checkpoint, spec, names);
    const popular = await io.setExperts(checkpoint, weights, spec);
    for (const { ref, shape } of weights.dense.slice(0, DENSE_READ)) {
      if (shape.length === 1) expectEqualBytes(await weights.readVector(ref), await truth.weights.readVector(ref));
      else {
        const rows = [ref, 0, shape[0]] as const;
        expectEqualBytes(await weights.readMatrixRows(...rows), await truth.weights.readMatrixRows(...rows));
      }
    }
    const result = await run(io, popular);
    return { result, counts: await settled(io) };
  } finally {
    await io.close();
  }
}

/** Experts are stored behind their reader's back: the counts when nothing has been stored for a while. */
async function settled(io: IoClient) {
  let counts = await io.refreshCounts();
  for (let calm = 0; calm < 5; ) {
    const stored = JSON.stringify([counts.cacheWriteBytes, counts.cachedExperts, counts.networkBytes]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    counts = await io.refreshCounts();
    calm =
      JSON.stringify([counts.cacheWriteBytes, counts.cachedExperts, counts.networkBytes]) === stored ? calm + 1 : 0;
  }
  return counts;
}

async function readExperts(io: IoClient, experts: readonly number[], layer = LAYER): Promise<void> {
  const priority = "demand";
  const read = await Promise.all(experts.map((expert) => io.readExpert(layer, expert, { priority })));
  for (const [i, expert] of experts.entries()) {
    expectEqualBytes(read[i]!, await truth.weights.readExpert(layer, expert));
  }
}

describe("the second visit", () => {
  test("asks whether the files are the same, and reads nothing that the first one read", async () => {
    const server = await serve();
    const opfs = memoryOpfs();
    const first = await visit(`${server.url}m/`, opfs, (io) => readExperts(io, [0, 3, 5]));
    expect(first.counts).toMatchObject({ diskHits: 0, cacheDisabled: "", cachedExperts: 3, ioWorker: false });
    expect(first.counts.networkBytes).toBeGreaterThan(3 * EXPERT_BYTES);
    expect(first.counts.fetchRequests).toBeGreaterThan(0);
    expect(first.counts.fetchesMerged).toBeGreaterThan(0);
    const before = server.requests.length;
    const second = await visit(`${server.url}m/`, opfs, (io) => readExperts(io, [5, 0, 3]));
    expect(second.counts).toMatchObject({ networkBytes: 0, diskHits: 3, cacheWriteBytes: 0, corruptBlocks: 0 });
    expect(second.counts.diskBytes).toBe(first.counts.cacheWriteBytes);
    expect(server.requests.slice(before).every(({ range }) => range === "bytes=0-0")).toBe(true);
    expect(server.requests.length - before).toBeLessThanOrEqual(3);
    const third = await visit(`${server.url}m/`, opfs, (io) => readExperts(io, [1, 3]));
    expect(third.counts).toMatchObject({ diskHits: 1, cacheWriteBytes: EXPERT_BYTES, cachedExperts: 4 });
  });

  test("asks nothing at all where the address names a commit", async () => {
    const server = await serve({});
    const opfs = memoryOpfs();
    const url = `${server.url}resolve/${COMMIT}/`;
    await visit(url, opfs, (io) => readExperts(io, [2]));
    const before = server.requests.length;
    const { counts } = await visit(url, opfs, (io) => readExperts(io, [2]));
    expect(server.requests).toHaveLength(before);
    expect(counts).toMatchObject({ networkBytes: 0, diskHits: 1 });
  });

  test("works while the server is away, and says that nothing was checked", async () => {
    const server = await serve();
    const opfs = memoryOpfs();
    await visit(`${server.url}m/`, opfs, (io) => readExperts(io, [2]));
    await server.close();
    const { counts } = await visit(`${server.url}m/`, opfs, (io) => readExperts(io, [2]));
    expect(counts).toMatchObject({ networkBytes: 0, diskHits: 1 });
    expect(counts.uncheckedFiles).toBeGreaterThanOrEqual(2);
  });

  test.each([
    ["another ETag of all files", 0, { etag: () => '"two"' }, content],
    ["another size of one", 1, { etag: () => '"one"' }, [new Uint8Array([...content[0]!, 10]), content[1]!]],
    [
      "other first bytes of one, without ETag",
      1,
      {},
      [content[0]!.map((byte) => (byte === 10 ? 32 : byte)), content[1]!],
    ],
  ])("reads again what changed: %s", async (_, diskHits, behaviour, files) => {
    const opfs = memoryOpfs();
    const noEtag = !("etag" in behaviour);
    const old = await serve(noEtag ? {} : { etag: () => '"one"' });
    await visit(`${old.url}m/`, opfs, (io) => readExperts(io, [2]));
    const { port } = new URL(old.url);
    await old.close();
    // The same address, other files: the cache's folder is named by the address.
    const now = await serve(behaviour, files);
    const moved = { ...opfs, fetch: globalThis.fetch };
    globalThis.fetch = (input, init) =>
      moved.fetch(String(input).replace(`:${port}/`, `:${new URL(now.url).port}/`), init);
    try {
      const { counts } = await visit(`${old.url}m/`, opfs, (io) => readExperts(io, [2]));
      expect(counts.diskHits).toBe(diskHits);
      expect(counts.networkBytes).toBeGreaterThanOrEqual(diskHits === 0 ? EXPERT_BYTES : files[0]!.length);
      const again = await visit(`${old.url}m/`, opfs, (io) => readExperts(io, [2]));
      expect(again.counts).toMatchObject({ diskHits: 1, cacheWriteBytes: 0 });
    } finally {
      globalThis.fetch = moved.fetch;
    }
  });

  test("knows what earlier visits used: it is offered first, and filled first", async () => {
    const server = await serve();
    const opfs = memoryOpfs();
    const uses = new Uint32Array(TOTAL);
    uses.set([0, 0, 4, 9, 0, 2], 0); // experts 2, 3 and 5 of the first MoE layer
    await visit(`${server.url}m/`, opfs, async (io, popular) => {
      expect(popular.flat()).toEqual([]);
      await readExperts(io, [0, 2, 3]);
      await io.noteUses(uses);
    });
    const before = server.requests.length;
    const { result } = await visit(`${server.url}m/`, opfs, async (io, popular) => {
      await io.setFill(true);
      while ((await io.refreshCounts()).fillState === "running") await new Promise((resolve) => setTimeout(resolve, 5));
      expect((await io.refreshCounts()).fillState).toBe("done");
      expect((await io.refreshCounts()).cachedExperts).toBe(TOTAL);
      return popular;
    });
    expect(result[0]).toEqual([3, 2]); // 5 is not on disk
    const offsets = server.requests.slice(before).map(({ range }) => Number(/=(\d+)-/.exec(range ?? "")?.[1]));
    const start = truth.weights.expertRanges(LAYER, 5).map(({ offset }) => offset);
    const first = server.requests[before + offsets.findIndex((offset) => offset > 0 && start.includes(offset))];
    expect(first).toBeDefined();
    const fillStarts = offsets.filter((offset) => offset > 1 << 16);
    expect(start).toContain(fillStarts[0]);
  });

  test("fills or stops as the last of several calls said, whatever was under way", async () => {
    const server = await serve();
    await visit(`${server.url}m/`, memoryOpfs(), async (io) => {
      const state = async () => (await io.refreshCounts()).fillState;
      const calls = async (...wishes: boolean[]) => {
        await Promise.all(wishes.map((on) => io.setFill(on)));
        return state();
      };
      expect(await calls(true, false)).toBe("off");
      expect(await calls(true, false, true, false)).toBe("off");
      const { cachedExperts } = await io.refreshCounts();
      expect(cachedExperts).toBeLessThan(TOTAL);
      expect(await calls(true, false, true)).not.toBe("off");
      while ((await state()) === "running") await new Promise((resolve) => setTimeout(resolve, 5));
      expect(await io.refreshCounts()).toMatchObject({ fillState: "done", cachedExperts: TOTAL });
    });
  });
});

describe("trouble", () => {
  test("a damaged block is fetched again alone", async () => {
    const server = await serve();
    const opfs = memoryOpfs();
    await visit(`${server.url}m/`, opfs, (io) => readExperts(io, [0, 1]));
    const [, data] = opfs.files().find(([path]) => path.endsWith("/data"))!;
    data.bytes[data.bytes.length - 3]! ^= 1;
    const { counts } = await visit(`${server.url}m/`, opfs, (io) => readExperts(io, [0, 1]));
    expect(counts).toMatchObject({ corruptBlocks: 1, diskHits: 1 });
    expect(counts.networkBytes).toBeLessThan(EXPERT_BYTES + 70_000); // the block, and a probe to open the file again
    expect((await visit(`${server.url}m/`, opfs, (io) => readExperts(io, [0, 1]))).counts).toMatchObject({
      corruptBlocks: 0,
      diskHits: 2,
      networkBytes: 0,
    });
  });

  test("a model that is open elsewhere runs without the cache, and does it no harm", async () => {
    const server = await serve();
    const opfs = memoryOpfs();
    await visit(`${server.url}m/`, opfs, async (io) => {
      await readExperts(io, [0]);
      const other = await visit(`${server.url}m/`, opfs, (second) => readExperts(second, [0, 1]));
      expect(other.counts.cacheDisabled).toMatch(/NoModificationAllowedError/);
      expect(other.counts).toMatchObject({ diskHits: 0, cacheWriteBytes: 0 });
      await readExperts(io, [1]);
    });
    const { counts } = await visit(`${server.url}m/`, opfs, (io) => readExperts(io, [0, 1]));
    expect(counts).toMatchObject({ diskHits: 2, corruptBlocks: 0, cacheDisabled: "" });
  }, 20_000);

  test("the lock of another tab is respected", async () => {
    const server = await serve();
    const asked: string[] = [];
    const request = (async (name: string, options: { signal: AbortSignal }) => {
      asked.push(name);
      return new Promise((_, reject) => {
        options.signal.addEventListener("abort", () => reject(options.signal.reason));
      });
    }) as unknown as LockManager["request"];
    const { counts } = await visit(`${server.url}m/`, { ...memoryOpfs(), locks: { request } }, (io) =>
      readExperts(io, [0]),
    );
    expect(counts.cacheDisabled).toBe("another tab uses this model's cache");
    expect(asked).toEqual([expect.stringMatching(/^octavo:[0-9a-f]{32}$/)]);
  });

  test("without storage, and where it breaks, the model runs on and says why", async () => {
    const server = await serve();
    const none = await visit(`${server.url}m/`, {}, (io) => readExperts(io, [0]));
    expect(none.counts.cacheDisabled).toMatch(/no origin private file system/);
    const broken = {
      getDirectory: () => Promise.reject(new DOMException("denied", "SecurityError")),
      estimate: async () => ({}),
    };
    const denied = await visit(`${server.url}m/`, { storage: broken }, (io) => readExperts(io, [0]));
    expect(denied.counts.cacheDisabled).toBe("SecurityError: denied");
    const off = await visit(`${server.url}m/`, memoryOpfs(), (io) => readExperts(io, [0]), { cache: false });
    expect(off.counts).toMatchObject({ cacheDisabled: "off", cacheBytes: 0 });
  });

  test("a small quota of the caller is kept, cold experts leave", async () => {
    const server = await serve();
    const opfs = memoryOpfs();
    const all = [...Array(NUM_EXPERTS).keys()];
    const dense = (await visit(`${server.url}m/`, memoryOpfs(), async () => {})).counts.cacheBytes;
    const diskQuotaBytes = dense + 3 * EXPERT_BYTES;
    const { counts } = await visit(
      `${server.url}m/`,
      opfs,
      async (io) => {
        for (const expert of all) await readExperts(io, [expert]);
        await readExperts(io, [all[0]!, all.at(-1)!]);
        await readExperts(io, [all.at(-1)!]); // read more often than others: worth room
        await io.setFill(true);
        while ((await io.refreshCounts()).fillState === "running")
          await new Promise((resolve) => setTimeout(resolve, 5));
      },
      { diskQuotaBytes },
    );
    expect(counts.cacheBytes).toBeLessThanOrEqual(diskQuotaBytes);
    expect(counts.cacheEvictions).toBeGreaterThan(0);
    expect(counts.cacheRefusals).toBeGreaterThan(0);
    expect(counts).toMatchObject({ fillState: "full", cachedExperts: 3, cacheDisabled: "" });
  });

  test("a storage that is full ends the growth, not the run", async () => {
    const server = await serve();
    const opfs = memoryOpfs(200_000);
    const { counts } = await visit(`${server.url}m/`, opfs, (io) => readExperts(io, [0, 1, 2]), {
      diskQuotaBytes: 1 << 30,
    });
    expect(counts.cacheRefusals + Number(counts.cacheDisabled !== "")).toBeGreaterThan(0);
    expect(opfs.quota.usage).toBeLessThanOrEqual(200_000);
  });

  test("an aborted read ends as AbortError, and the next one is whole", async () => {
    const server = await serve({ etag: () => '"one"', latencyMs: 10 });
    await visit(`${server.url}m/`, memoryOpfs(), async (io) => {
      const stop = new AbortController();
      const read = io.readExpert(LAYER, 1, { priority: "demand", signal: stop.signal });
      setTimeout(() => stop.abort(), 2);
      await expect(read).rejects.toMatchObject({ name: "AbortError" });
      await readExperts(io, [1]);
      await expect(io.readExpert(LAYER, NUM_EXPERTS, { priority: "demand" })).rejects.toThrow(/no expert/);
    });
  });
});

describe("the catalogue", () => {
  test("lists models with their size and share, and deletes them when nobody has them open", async () => {
    const server = await serve();
    const opfs = memoryOpfs();
    expect(await listModels(opfs.root)).toEqual([]);
    await expect(removeModel(opfs.root, "x")).rejects.toThrow(/No cached model has the id "x"/);
    await visit(`${server.url}m/`, opfs, async (io) => {
      await readExperts(io, [0, 1]);
      const [{ id } = { id: "" }] = await listModels(opfs.root);
      await expect(removeModel(opfs.root, id)).rejects.toThrow(/in use/);
    });
    await visit(`${server.url}resolve/${COMMIT}/`, opfs, async () => {});
    const models = await listModels(opfs.root);
    expect(models.map(({ source }) => source).sort()).toEqual(FOLDERS.map((folder) => `${server.url}${folder}`));
    const model = models.find(({ name }) => name === "m")!;
    expect(model.expertShare).toBe(2 / TOTAL);
    expect(model.bytes).toBeGreaterThan(2 * EXPERT_BYTES);
    expect(Math.abs(model.lastUsed - Date.now())).toBeLessThan(60_000);
    await removeModel(opfs.root, model.id);
    expect((await listModels(opfs.root)).map(({ name }) => name)).toEqual([COMMIT]);
    const { counts } = await visit(`${server.url}m/`, opfs, (io) => readExperts(io, [0]));
    expect(counts.diskHits).toBe(0);
  });
});

test("an I/O worker that does not start leaves the work to this thread; one that works is used", async () => {
  const server = await serve();
  const listeners: ((event: { message: string; preventDefault(): void }) => void)[] = [];
  let terminated = 0;
  const dead = {
    addEventListener: (type: string, listener: (typeof listeners)[number]) =>
      type === "error" && listeners.push(listener),
    removeEventListener: () => {},
    postMessage: () => setTimeout(() => listeners[0]?.({ message: "", preventDefault: () => {} }), 1),
    terminate: () => {
      terminated += 1;
    },
  } as unknown as Worker;
  const { counts } = await visit(`${server.url}m/`, { startIoWorker: () => dead }, (io) => readExperts(io, [0]));
  expect(counts.ioWorker).toBe(false);
  expect(terminated).toBe(1);
  const refusing = () => {
    throw new DOMException("no workers here", "SecurityError");
  };
  const other = await visit(`${server.url}m/`, { startIoWorker: refusing }, (io) => readExperts(io, [0]));
  expect(other.counts.ioWorker).toBe(false);
});
