/** The queue over a source that answers when it is told to. */
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { ByteSource } from "../../../src/sources/byte-source.ts";
import { FetchQueue } from "../../../src/tiers/fetch-queue.ts";
import type { ReadPriority } from "../../../src/tiers/read-expert.ts";
import { expectEqualBytes } from "../../fixtures/equal-bytes.ts";

const SIZE = 64 * 2 ** 20;
const byteAt = (offset: number): number => (offset * 31 + (offset >> 8) * 7) & 255;
const content = (offset: number, length: number) => Uint8Array.from({ length }, (_, i) => byteAt(offset + i));
const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

/** A source whose reads end when `answer` is called, in any order. */
function heldSource() {
  const open: { offset: number; length: number; answer: (error?: Error) => void; aborted: boolean }[] = [];
  const started: string[] = [];
  const source: ByteSource = {
    label: "held",
    size: async () => SIZE,
    read: (offset, length, signal) =>
      new Promise((resolve, reject) => {
        started.push(`${offset}+${length}`);
        const end = () => open.splice(open.indexOf(read), 1);
        const read = {
          offset,
          length,
          aborted: false,
          answer: (error?: Error) => {
            end();
            if (error) reject(error);
            else resolve(content(offset, length));
          },
        };
        open.push(read);
        signal?.addEventListener("abort", () => {
          read.aborted = true;
          setTimeout(() => {
            end();
            reject(signal.reason);
          }, 5);
        });
      }),
  };
  return { source, open, started };
}

/** Teaches `queue` that requests wait for six connections, each of which takes 30 ms to answer and 1 ms for 10 KiB. */
async function overSixConnections(queue: FetchQueue, { source, open }: ReturnType<typeof heldSource>): Promise<void> {
  vi.useFakeTimers({ toFake: ["performance"] });
  for (let batch = 0; batch < 4; batch++) {
    const all = Array.from({ length: 16 }, (_, i) =>
      queue.fetch({ source, offset: i * FAR, length: 10 * 1024 * (1 + (i % 2)) }, { priority: "demand" }),
    );
    await turn();
    while (open.length > 0) {
      const answering = open.slice(0, 6);
      for (const kib of [10, 20]) {
        vi.advanceTimersByTime(kib === 10 ? 31 : 1);
        for (const read of answering) if (read.length === kib * 1024) read.answer();
        await turn();
      }
    }
    await Promise.all(all);
  }
}

const FAR = 2 ** 20; // farther than any gap that is worth bridging

afterEach(() => {
  vi.useRealTimers();
});

describe("order", () => {
  test("demands go before guesses, guesses before background work, which waits until nothing else is under way", async () => {
    const { source, open, started } = heldSource();
    const queue = new FetchQueue();
    const ask = (at: number, priority: ReadPriority) =>
      queue.fetch({ source, offset: at * FAR, length: 10 }, { priority });
    const all = [ask(1, "background"), ask(2, "guess"), ask(3, "guess"), ask(4, "demand")];
    await turn();
    expect(started).toEqual([4, 2, 3].map((at) => `${at * FAR}+10`));
    expect(queue.busy).toBe(true);
    for (const read of [...open]) read.answer();
    await turn();
    expect(started.at(-1)).toBe(`${FAR}+10`);
    expect(queue.busy).toBe(false);
    open[0]?.answer();
    expect(await Promise.all(all)).toEqual([1, 2, 3, 4].map((at) => content(at * FAR, 10)));
  });

  test.each([
    { link: "side by side", guesses: 64, all: 96 },
    { link: "over six connections", guesses: 4, all: 16 },
  ])("$link: $guesses guesses at a time, and with demands $all requests", async ({ link, guesses, all: most }) => {
    const held = heldSource();
    const { source, open, started } = held;
    const queue = new FetchQueue();
    if (link !== "side by side") await overSixConnections(queue, held);
    started.length = 0;
    const ask = (at: number, priority: ReadPriority) =>
      queue.fetch({ source, offset: at * FAR, length: 1 }, { priority });
    const all = Array.from({ length: 80 }, (_, i) => ask(i, "guess"));
    await turn();
    expect(started).toHaveLength(guesses);
    all.push(...Array.from({ length: 40 }, (_, i) => ask(80 + i, "demand")));
    await turn();
    expect(started).toHaveLength(most);
    while (open.length > 0) {
      open[0]?.answer();
      await turn();
    }
    expect(await Promise.all(all)).toHaveLength(120);
  });

  test("tells when it has nothing to do", async () => {
    const { source, open } = heldSource();
    const queue = new FetchQueue();
    let idle = 0;
    queue.onIdle = () => {
      idle += 1;
    };
    const read = queue.fetch({ source, offset: 0, length: 1 }, { priority: "background" });
    await turn();
    expect(idle).toBe(0);
    open[0]?.answer();
    await read;
    await turn();
    expect(idle).toBe(1);
  });
});

describe("one request for several", () => {
  test("neighbours travel together, those of other priorities, files or places do not", async () => {
    const { source, open, started } = heldSource();
    const other = heldSource();
    const queue = new FetchQueue();
    const demand = { priority: "demand" } as const;
    const all = [
      queue.fetch({ source, offset: 1000, length: 100 }, demand),
      queue.fetch({ source, offset: 1100, length: 50 }, demand),
      queue.fetch({ source, offset: 500, length: 100 }, demand),
      queue.fetch({ source, offset: 1150 + 16 * 1024, length: 10 }, demand),
      queue.fetch({ source, offset: 40_000, length: 10 }, demand),
      queue.fetch({ source, offset: 1200, length: 10 }, { priority: "guess" }),
      queue.fetch({ source: other.source, offset: 1150, length: 10 }, demand),
    ];
    await turn();
    expect(started).toEqual([`500+${650 + 16 * 1024 + 10}`, "40000+10", "1200+10"]);
    expect(other.started).toEqual(["1150+10"]);
    expect(queue.counts).toEqual({ fetchRequests: 4, fetchesMerged: 3, fetchesJoined: 0 });
    for (const read of [...open, ...other.open]) read.answer();
    const places = [1000, 1100, 500, 1150 + 16 * 1024, 40_000, 1200, 1150];
    const lengths = [100, 50, 100, 10, 10, 10, 10];
    expect(await Promise.all(all)).toEqual(places.map((offset, i) => content(offset, lengths[i]!)));
  });

  test("where requests wait for each other, wider gaps are read, but not more than a fifth of the bytes in vain", async () => {
    const held = heldSource();
    const { source, open, started } = held;
    const KIB = 1024;
    // The other way round the gaps of one side would be tried first.
    const places = [
      ...([
        [0, 80],
        [100, 80],
        [220, 20],
      ] as const),
      ...([
        [600, 100],
        [710, 10],
        [740, 10],
      ] as const),
      ...([
        [1200, 10],
        [1230, 10],
      ] as const),
      ...([
        [1400, 200],
        [1655, 200],
      ] as const),
    ];
    const ask = (queue: FetchQueue) =>
      Promise.all(
        places.map(([at, length]) =>
          queue.fetch({ source, offset: at * KIB, length: length * KIB }, { priority: "demand" }),
        ),
      );
    const answered = async (all: Promise<Uint8Array[]>) => {
      await turn();
      const requests = started.splice(0);
      while (open.length > 0) {
        open[0]?.answer();
        await turn();
      }
      const found = await all;
      places.forEach(([at, length], i) => {
        expectEqualBytes(found[i]!, content(at * KIB, length * KIB));
      });
      return requests.map((text) =>
        text
          .split("+")
          .map((bytes) => Number(bytes) / KIB)
          .join("+"),
      );
    };
    const apart = ["0+80", "100+80", "220+20", "600+120", "740+10", "1200+10", "1230+10", "1400+200", "1655+200"];
    expect(await answered(ask(new FetchQueue()))).toEqual(apart);
    const queue = new FetchQueue();
    await overSixConnections(queue, held);
    started.length = 0;
    // 30 ms for a request on one of six connections are worth 50 KiB at 10 KiB a millisecond.
    const together = ["0+180", "220+20", "600+150", "1200+10", "1230+10", "1400+200", "1655+200"];
    expect(await answered(ask(queue))).toEqual(together);
  });

  test("merging ends where a request would become large", async () => {
    const { source, open, started } = heldSource();
    const queue = new FetchQueue();
    const MIB = 2 ** 20;
    const all = [0, 1, 2, 3, 4, 5].map((at) =>
      queue.fetch({ source, offset: at * MIB, length: MIB }, { priority: "demand" }),
    );
    await turn();
    expect(started).toEqual([`0+${4 * MIB}`, `${4 * MIB}+${2 * MIB}`]);
    for (const read of [...open]) read.answer();
    expect((await Promise.all(all)).map(({ length }) => length)).toEqual(Array(6).fill(MIB));
  });

  test("a demand joins a guess for the same range, and raises it while it waits", async () => {
    const { source, open, started } = heldSource();
    const queue = new FetchQueue();
    const ask = (at: number, priority: ReadPriority) =>
      queue.fetch({ source, offset: at * FAR, length: 9 }, { priority });
    const all = Array.from({ length: 80 }, (_, at) => ask(at, "guess"));
    await turn();
    expect(started).toHaveLength(64);
    const [running, waiting] = [ask(1, "demand"), ask(75, "demand")];
    await turn();
    expect(started.at(-1)).toBe(`${75 * FAR}+9`);
    expect(queue.counts).toMatchObject({ fetchRequests: 65, fetchesJoined: 2 });
    while (open.length > 0) {
      open[0]?.answer();
      await turn();
    }
    expect(await running).toEqual(content(FAR, 9));
    expect(await waiting).toEqual(content(75 * FAR, 9));
    await Promise.all(all);
    expect(started).toHaveLength(80);
  });
});

test("what waits is raised by the range that holds it", async () => {
  const { source, open, started } = heldSource();
  const queue = new FetchQueue();
  const ask = (at: number, priority: ReadPriority) =>
    queue.fetch({ source, offset: at * FAR, length: 9 }, { priority });
  const all = Array.from({ length: 80 }, (_, at) => ask(at, "guess"));
  await turn();
  expect(started).toHaveLength(64);
  queue.raise({ source, offset: 75 * FAR, length: 9 });
  queue.raise({ source, offset: 76 * FAR, length: 8 }); // only a part of it
  await turn();
  expect(started.slice(64)).toEqual([`${75 * FAR}+9`]);
  while (open.length > 0) {
    open[0]?.answer();
    await turn();
  }
  expect(await Promise.all(all)).toHaveLength(80);
});

describe("giving up", () => {
  test("the last reader's abort ends the read, and is told when it has ended", async () => {
    const { source, open } = heldSource();
    const queue = new FetchQueue();
    const [one, two] = [new AbortController(), new AbortController()];
    const range = { source, offset: 0, length: 4 };
    const first = queue.fetch(range, { priority: "guess", signal: one.signal });
    const second = queue.fetch(range, { priority: "demand", signal: two.signal });
    const outcomes: string[] = [];
    first.catch(() => outcomes.push(`first, ${open.length} open`));
    second.catch(() => outcomes.push(`second, ${open.length} open`));
    await turn();
    one.abort();
    await turn();
    expect(outcomes).toEqual(["first, 1 open"]);
    expect(open[0]?.aborted).toBe(false);
    two.abort();
    expect(open[0]?.aborted).toBe(true);
    await expect(second).rejects.toMatchObject({ name: "AbortError" });
    expect(outcomes).toEqual(["first, 1 open", "second, 0 open"]);
    const again = queue.fetch(range, { priority: "demand" });
    await turn();
    open[0]?.answer();
    expect(await again).toEqual(content(0, 4));
  });

  test("one who asks again while the aborted read is ending gets a read of its own", async () => {
    const { source, open, started } = heldSource();
    const queue = new FetchQueue();
    const stop = new AbortController();
    const range = { source, offset: 0, length: 4 };
    const first = queue.fetch(range, { priority: "demand", signal: stop.signal });
    await turn();
    stop.abort();
    const second = queue.fetch(range, { priority: "demand" });
    await expect(first).rejects.toMatchObject({ name: "AbortError" });
    expect(started).toHaveLength(2);
    open.at(-1)?.answer();
    expect(await second).toEqual(content(0, 4));
  });

  test("what waits is forgotten at once, and never read", async () => {
    const { source, open, started } = heldSource();
    const queue = new FetchQueue();
    const stop = new AbortController();
    const busy = Array.from({ length: 96 }, (_, i) =>
      queue.fetch({ source, offset: i * FAR, length: 1 }, { priority: "demand" }),
    );
    const waiting = queue.fetch({ source, offset: 100 * FAR, length: 1 }, { priority: "demand", signal: stop.signal });
    await turn();
    stop.abort();
    await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
    for (const read of [...open]) read.answer();
    await Promise.all(busy);
    await turn();
    expect(started).toHaveLength(96);
    await expect(
      queue.fetch({ source, offset: 0, length: 1 }, { priority: "demand", signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ name: "AbortError" });
  });

  test("a failed request fails for all that travelled in it, and for nobody else", async () => {
    const { source, open } = heldSource();
    const queue = new FetchQueue();
    const ask = (offset: number) => queue.fetch({ source, offset, length: 4 }, { priority: "demand" });
    const [a, b, c] = [ask(0), ask(4), ask(FAR)];
    await turn();
    open.find(({ offset }) => offset === 0)?.answer(new Error("gone"));
    await expect(a).rejects.toThrow("gone");
    await expect(b).rejects.toThrow("gone");
    open[0]?.answer();
    expect(await c).toEqual(content(FAR, 4));
  });
});

test("whatever is asked, given up and answered in whatever order, everyone gets the right bytes or an AbortError", async () => {
  const request = fc.record({
    offset: fc.nat(200_000),
    length: fc.integer({ min: 1, max: 64 }),
    priority: fc.constantFrom<ReadPriority>("demand", "guess", "background"),
    abort: fc.boolean(),
    answers: fc.nat(3),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 24 }), fc.nat(), async (requests, pick) => {
      const { source, open } = heldSource();
      const queue = new FetchQueue();
      const stops: AbortController[] = [];
      const outcomes = requests.map(async ({ offset, length, priority, abort, answers }, i) => {
        for (let n = 0; n < i; n++) await Promise.resolve();
        const stop = new AbortController();
        if (abort) stops.push(stop);
        const read = queue.fetch({ source, offset, length }, { priority, signal: stop.signal });
        for (let n = 0; n < answers; n++) open[(pick + n) % Math.max(1, open.length)]?.answer();
        return read.then(
          (bytes) => expect(bytes).toEqual(content(offset, length)),
          (error) => {
            expect(error.name).toBe("AbortError");
            expect(abort).toBe(true);
          },
        );
      });
      await turn();
      for (const stop of stops) stop.abort();
      const done = Promise.all(outcomes).then(() => true);
      while (!(await Promise.race([done, turn().then(() => false)]))) {
        for (const read of open.filter(({ aborted }) => !aborted)) read.answer();
      }
      expect(open).toEqual([]);
    }),
    { numRuns: 60 },
  );
});
