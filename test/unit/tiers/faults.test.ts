/**
 * Seeded fault schedules over everything below the slots: lives of a page with a server that misbehaves, storage that
 * fills up, rots, vanishes or stops at any operation, and readers that come, change their minds and go. Each read ends in
 * the right bytes or a named error; a last life without faults, on what the others left, reads every expert rightly.
 * FAULT_SCHEDULES sets how many; a schedule is a function of its number (but for timing), so a failed one can be had again
 * with FAULT_FIRST.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { openHttp } from "../../../src/sources/http.ts";
import { digest, toHex } from "../../../src/tiers/digest.ts";
import { expectEqualBytes } from "../../fixtures/equal-bytes.ts";
import { FaultyFetch } from "../../fixtures/faulty-fetch.ts";
import { FaultyStore } from "../../fixtures/faulty-store.ts";
import { serveFiles } from "../../fixtures/http-server.ts";
import { MemoryStore, seeded } from "../../fixtures/memory-store.ts";
import { type FaultPlan, type Mishap, mishapAt } from "../../virtual/faults.ts";
import { type Life, type LifeParts, makeVersion, NUM_EXPERTS, nameOf, openLife, type Version } from "./fault-world.ts";

const SCHEDULES = Number(process.env.FAULT_SCHEDULES ?? 500);
/** Up to number 1482, where a damaged record of files once gave the bytes of another version. */
const FIRST = Number(process.env.FAULT_FIRST ?? 983);
/** Schedules under way at once: most of one is waiting. */
const AT_ONCE = 12;
/** One of so many goes over real connections. */
const HTTP_EVERY = 20;
/** A schedule that takes longer hangs: its waits add up to less than three seconds on a machine of its own. */
const HANGS_MS = 60_000;
/** Of one life. */
const READS = 12;
const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const RATES = ["delay", "reorder", "cut", "truncate", "stall", "200", "403", "416", "429", "500"] as const;

/** What a server tells of a file's version. */
type Marks = "etag" | "date" | "none" | "commit";
type Random = () => number;

interface World {
  readonly number: number;
  readonly random: Random;
  readonly versions: readonly [Version, Version];
  /** Real connections instead of an injected `fetch`; the files there stay as they are. */
  readonly overHttp: boolean;
  readonly marks: Marks;
  readonly signedFor: number | undefined;
  readonly store: MemoryStore;
  readonly limitBytes: number;
  readonly ramBytes: number;
  /** Which version the server has. */
  now: 0 | 1;
  mishap: (number: number) => Mishap;
}

interface Server {
  readonly url: string;
  readonly fetch?: typeof fetch;
  readonly seen: Readonly<Record<string, number>>;
  close(): Promise<void>;
}

/** What all schedules together came to. */
const tally: Record<string, number> = {};
const count = (name: string, by = 1): void => {
  tally[name] = (tally[name] ?? 0) + by;
};

const made = {} as Record<"gguf" | "safetensors", readonly [Version, Version]>;
beforeAll(async () => {
  for (const container of ["gguf", "safetensors"] as const) {
    made[container] = [await makeVersion(container, 1), await makeVersion(container, 2)];
  }
});

afterAll(() => {
  if (process.env.FAULT_TALLY) console.log(tally);
});

function makeWorld(number: number): World {
  const random = seeded(number * 7919);
  const chance = (p: number): boolean => random() < p;
  const store = new MemoryStore();
  if (chance(0.25)) store.quotaBytes = 20_000 + Math.floor(random() * 200_000);
  const drawn = (["etag", "etag", "date", "none", "commit"] as const)[Math.floor(random() * 5)] ?? "etag";
  const overHttp = number % HTTP_EVERY === 0;
  return {
    number,
    random,
    store,
    overHttp,
    marks: overHttp ? "etag" : drawn,
    versions: made[chance(0.5) ? "gguf" : "safetensors"],
    signedFor: chance(0.4) ? 2 + Math.floor(random() * 12) : undefined,
    limitBytes: chance(0.3) ? 30_000 + Math.floor(random() * 100_000) : 1 << 24,
    ramBytes: chance(0.2) ? 0 : Math.floor(random() * 120_000),
    now: 0,
    mishap: () => ({}),
  };
}

/** Two or three kinds of mishap, and in half of the plans a good start, so that reads are reached. */
function makePlan({ random, number }: World, life: number): FaultPlan {
  const rates: Record<string, number> = {};
  for (const name of RATES) if (random() < 0.3) rates[name] = random() * 0.25;
  const after = random() < 0.6 ? 4 + Math.floor(random() * 6) : 0;
  return { seed: number * 10 + life, after, delayMs: Math.floor(random() * 6), retryAfterSeconds: 0, rates };
}

async function startServer(world: World): Promise<Server> {
  const { marks, signedFor, overHttp } = world;
  const folder = marks === "commit" ? `resolve/${COMMIT}/` : "m/";
  const files = () =>
    new Map([...world.versions[world.now].files].map(([name, file]) => [`${folder}${name}`, file] as const));
  const entry = world.versions[0].entry ?? "";
  const mishap = (request: number): Mishap => world.mishap(request);
  if (overHttp) {
    const server = await serveFiles(files(), { mishap, etag: () => `"v${world.now}"` });
    count("over HTTP");
    return { url: server.url + folder + entry, seen: {}, close: () => server.close() };
  }
  const headers = (): Record<string, string> => {
    if (marks === "etag") return { etag: `"v${world.now}"` };
    return marks === "date" ? { "last-modified": `Mon, 0${world.now + 1} Jun 2026 10:00:00 GMT` } : {};
  };
  const web = new FaultyFetch({ files, marks: headers, mishap, ...(signedFor === undefined ? {} : { signedFor }) });
  return { url: web.origin + folder + entry, fetch: web.fetch, seen: web.seen, close: async () => {} };
}

/** Which version a life took the model for: its bytes are then those of it alone, whatever the server has by now. */
async function versionOf({ versions }: World, { data }: Life): Promise<Version> {
  const { version } = data.identity;
  for (const [i, each] of versions.entries()) {
    const start = each.files.get(data.identity.name)?.read(0, 65_536);
    if (!start) continue;
    const named = version.startsWith(`"v${i}"`) || version.startsWith(`Mon, 0${i + 1} Jun`);
    if (named || version === toHex(await digest(start))) return each;
  }
  throw new Error(`no version is called ${version}`);
}

/** Waits for what may fail, with a name for the failure or the check of the result. */
async function settle<T>(
  kind: string,
  result: Promise<T>,
  abortable: boolean,
  check: (value: T) => void,
): Promise<void> {
  const value = await result.catch((error: unknown) => {
    count(`${kind}: ${nameOf(error, abortable)}`);
    return undefined;
  });
  if (value === undefined) return;
  check(value);
  count(`${kind}: right`);
}

function readOne(world: World, life: Life, truth: Version): Promise<void> {
  const { random } = world;
  const stop = new AbortController();
  const abortable = random() < 0.2;
  if (abortable) setTimeout(() => stop.abort(), random() * 12);
  const priority = (["demand", "demand", "guess", "background"] as const)[Math.floor(random() * 4)] ?? "demand";
  const options = { signal: stop.signal, priority };
  if (random() < 0.3) {
    const { size } = life.data.identity;
    const offset = Math.floor(random() * size);
    const length = Math.floor(random() * Math.min(40_000, size - offset));
    const right = truth.files.get(truth.dataName)!.read(offset, length);
    const reading = life.files.read({ file: life.data, offset, length }, options);
    return settle("dense", reading, abortable, (bytes) => expectEqualBytes(bytes, right));
  }
  const layer = Math.floor(random() * truth.layers.length);
  const expert = Math.floor(random() ** 2 * NUM_EXPERTS);
  const right = truth.experts[layer * NUM_EXPERTS + expert]!;
  const reading = life.ram.read(truth.layers[layer]!, expert, options);
  return settle("expert", reading, abortable, (bytes) => expectEqualBytes(bytes, right));
}

/** Reads, fills, notes, now and then a pause or a changed file, all mixed. */
async function useLife(world: World, life: Life, faulty: FaultyStore): Promise<void> {
  const { random, marks } = world;
  const truth = await versionOf(world, life);
  const under: Promise<void>[] = [];
  const numUses = truth.layers.length * NUM_EXPERTS;
  const changesAt = (marks === "etag" || marks === "date") && random() < 0.2 ? Math.floor(random() * READS) : -1;
  for (let i = 0; i < READS; i++) {
    const what = random();
    if (i === changesAt && !world.overHttp) world.now = 1;
    if (what < 0.08) under.push(life.experts.setFill(random() < 0.7));
    else if (what < 0.12) under.push(life.experts.noteUses(new Uint32Array(numUses).map(() => random() * 9)));
    else if (what < 0.15) faulty.goneAt = Math.min(faulty.goneAt, faulty.operations + Math.floor(random() * 400));
    else if (what < 0.2) damage(world.store, "data", random());
    under.push(readOne(world, life, truth));
    if (random() < 0.3) await new Promise((resolve) => setTimeout(resolve, random() * 3));
    if (random() < 0.2) await Promise.all(under.splice(0));
  }
  await Promise.all(under);
}

/** Changes the byte at `share` of a file, if it has any. */
function damage(store: MemoryStore, name: string, share: number): void {
  const { length } = store.bytesOf(name);
  if (length > 0) store.damage(name, Math.floor(share * length));
}

/** A page that is closed, well or without warning; what it left is then damaged, perhaps. */
async function endLife(world: World, { stop, experts, files, cache, queue }: LifeParts, crash: boolean): Promise<void> {
  const { store, random } = world;
  if (crash) store.crashAt = Math.min(store.crashAt, store.operations + 1); // from here on nothing reaches the disk
  stop?.abort();
  await experts?.setFill(false);
  while (queue?.busy) await new Promise((resolve) => setTimeout(resolve, 1)); // nothing is left waiting for ever
  await files?.stored();
  for (const [name, value] of Object.entries(cache?.counts ?? {})) count(name, value);
  if (cache?.disabled) count(`disabled: ${cache.disabled.split(":")[0]}`);
  count("diskHits", files?.diskHits);
  count("uncheckedFiles", files?.uncheckedFiles);
  await cache?.close();
  store.crashAt = Number.POSITIVE_INFINITY;
  if (crash) store.crash(random);
  const names = ["data", "data", "data", "index-0", "index-1", "meta-0", "uses-1"];
  for (let i = random() * 8 - 4; i > 0; i--) {
    damage(store, names[Math.floor(random() * names.length)] ?? "data", random());
  }
}

async function runLife(world: World, server: Server, calm: boolean): Promise<void> {
  const { store, random, limitBytes, ramBytes, versions } = world;
  const hooks = {
    ...(server.fetch ? { fetch: server.fetch } : {}),
    retryDelaysMs: [1, 1, 1],
    stallTimeoutMs: calm ? 20_000 : 30,
    onRetry: () => count("retries"),
    onReResolve: () => count("reResolved"),
  };
  const faulty = new FaultyStore(store);
  const crash = !calm && random() < 0.5;
  if (crash && random() < 0.7) store.crashAt = store.operations + Math.floor(random() * 120);
  if (!calm && random() < 0.04) faulty.goneAt = Math.floor(random() * 60);
  const parts: LifeParts = {};
  const { dataName } = versions[0];
  const opening = openLife({ url: server.url, store: faulty, hooks, limitBytes, ramBytes, dataName }, parts);
  const life = calm ? await opening : await opening.catch((error) => void count(`open: ${nameOf(error, false)}`));
  if (life && !calm) await useLife(world, life, faulty);
  if (life && calm) await readAll(world, life);
  if (life) {
    count("ramHits", life.ram.counts.ramHits);
    count("fetchesJoined", life.queue.counts.fetchesJoined);
    count("fetchesMerged", life.queue.counts.fetchesMerged);
  }
  await endLife(world, parts, crash);
}

/** Without faults nothing may fail any more, whatever the lives before left on the disk. */
async function readAll(world: World, life: Life): Promise<void> {
  const truth = await versionOf(world, life);
  expect(truth).toBe(world.versions[world.now]);
  for (const [i, right] of truth.experts.entries()) {
    const layer = truth.layers[Math.floor(i / NUM_EXPERTS)]!;
    expectEqualBytes(await life.ram.read(layer, i % NUM_EXPERTS, { priority: "demand" }), right);
  }
  count("calm experts", truth.experts.length);
}

async function runSchedule(number: number): Promise<void> {
  const world = makeWorld(number);
  const server = await startServer(world);
  try {
    for (const life of [1, 2]) {
      const plan = makePlan(world, life);
      let before = -1;
      world.mishap = (request) => {
        if (before < 0) before = request - 1;
        return mishapAt(plan, request - before);
      };
      await runLife(world, server, false);
      if (life === 1 && !world.overHttp && world.marks !== "commit" && world.random() < 0.3) world.now = 1;
    }
    world.mishap = () => ({});
    world.store.quotaBytes = Number.POSITIVE_INFINITY;
    await runLife(world, server, true);
  } finally {
    for (const [name, times] of Object.entries(server.seen)) count(`seen ${name}`, times);
    await server.close();
  }
}

/** Fails with the number of the schedule. */
async function runNamed(number: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const hangs = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("hangs")), HANGS_MS);
  });
  try {
    await Promise.race([runSchedule(number), hangs]);
  } catch (error) {
    throw new Error(`schedule ${number} (FAULT_FIRST=${number} FAULT_SCHEDULES=1)`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

test(`${SCHEDULES} schedules end in right bytes or named errors`, { timeout: 60_000 + SCHEDULES * 2000 }, async () => {
  let next = FIRST;
  const lane = async (): Promise<void> => {
    while (next < FIRST + SCHEDULES) await runNamed(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  if (SCHEDULES < 500) return; // a few schedules do not show every fault
  for (const name of [...RATES, "expired"]) expect(tally[`seen ${name}`], name).toBeGreaterThan(5);
  const happened = [
    ...["retries", "reResolved", "corruptBlocks", "cacheRefusals", "cacheEvictions", "uncheckedFiles"],
    ...["diskHits", "ramHits", "fetchesJoined", "fetchesMerged", "over HTTP"],
    ...["disabled: Crash", "disabled: InvalidStateError", "disabled: QuotaExceededError"],
    ...["expert: SourceError", "expert: AbortError", "dense: SourceError", "open: SourceError"],
  ];
  for (const name of happened) expect(tally[name], name).toBeGreaterThan(5);
  expect(tally["expert: right"]).toBeGreaterThan(SCHEDULES * READS * 0.5);
});

test("a byte changed on the way is not seen here: the connection's own checks guard it, the cache keeps what came", async () => {
  const [version] = made.gguf;
  const file = version.files.get(version.dataName)!;
  const web = new FaultyFetch({
    files: () => version.files,
    marks: () => ({}),
    mishap: (number) => (number === 2 ? { corrupt: { share: 0.5, mask: 0x10 } } : {}),
  });
  const opened = await openHttp(web.origin + version.dataName, { fetch: web.fetch });
  if ("missing" in opened) throw new Error(opened.missing);
  const read = () => opened.read(100_000, 1000);
  const right = file.read(100_000, 1000);
  const wrong = await read();
  expect([...right.keys()].filter((i) => wrong[i] !== right[i])).toEqual([500]);
  expectEqualBytes(await read(), right);
});

test("a header changed on the way opens or is refused by a named error", async () => {
  const [version] = made.gguf;
  for (let seed = 1; seed <= 40; seed++) {
    const random = seeded(seed);
    // The header is the first few thousand bytes of a probe of 64 KiB.
    const corrupt = { share: random() * 0.06, mask: 1 + Math.floor(random() * 255) };
    const web = new FaultyFetch({ files: () => version.files, marks: () => ({}), mishap: () => ({ corrupt }) });
    const options = { url: web.origin + version.entry, hooks: { fetch: web.fetch, retryDelaysMs: [1] } };
    const { dataName } = version;
    const opening = openLife({ ...options, store: new MemoryStore(), limitBytes: 1 << 24, ramBytes: 0, dataName }, {});
    await settle("header", opening, false, ({ cache }) => expect(cache?.disabled).toBe(""));
  }
  expect(tally["header: FormatError"]).toBeGreaterThan(5);
});
