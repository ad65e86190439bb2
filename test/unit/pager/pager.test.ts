/** The pager on a GPU of plain arrays: what is in the slots and in the residency table is looked at, not believed. */
import { describe, expect, test } from "vitest";
import { DeviceError } from "../../../src/errors.ts";
import { type PagedLayer, Pager } from "../../../src/pager/pager.ts";
import { slabGeometry } from "../../../src/pager/slabs.ts";
import { ABSENT } from "../../../src/pager/slot-table.ts";
import { fakeGpu } from "../gpu/fake-gpu.ts";

const SLOT_BYTES = 32;
const NUM_EXPERTS = 8;

/** The bytes of an expert: its layer and number in every word. */
function expertBytes(layer: number, expert: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Uint32Array(SLOT_BYTES / 4).fill(layer * 1000 + expert + 1).buffer);
}

interface Setup {
  readonly slots?: number;
  readonly layers?: number;
  readonly bindingBytes?: number;
  readonly policy?: "lru" | "lfru";
  /** Stands in for the read of (layer, expert). */
  readonly read?: PagedLayer["read"];
  /** Experts of every layer that need no read. */
  readonly near?: readonly number[];
}

function setUp({ slots = 3, layers = 1, bindingBytes = 1 << 20, policy = "lru", read, near = [] }: Setup = {}) {
  const fake = fakeGpu();
  const reads: string[] = [];
  const done: number[] = [];
  const raised: number[] = [];
  const geometry = slabGeometry(SLOT_BYTES, NUM_EXPERTS, 2, bindingBytes);
  const paged = Array.from({ length: layers }, (_, i): PagedLayer => {
    const layer = 10 + i;
    const readExpert: PagedLayer["read"] = async (expert, options) => {
      reads.push(`${i}:${expert}`);
      return (await read?.(expert, options)) ?? expertBytes(layer, expert);
    };
    const raise = (expert: number) => raised.push(expert);
    const atHand = (expert: number) => (near.includes(expert) ? expertBytes(layer, expert) : undefined);
    const isDone: PagedLayer["done"] = (bytes) => void done.push(bytes.length);
    return { layer, numExperts: NUM_EXPERTS, geometry, read: readExpert, raise, done: isDone, atHand };
  });
  const pager = new Pager(fake.gpu, paged, policy, slots);
  const resident = (moe = 0) => {
    return [...Array(NUM_EXPERTS).keys()].filter((expert) => pager.isResident(moe, expert));
  };
  /** Slots hold the bytes of their experts, and the table on the GPU says what the host's says. */
  const expectSound = () => {
    const table = fake.wordsOf(pager.residency);
    for (let moe = 0; moe < layers; moe++) {
      const taken: number[] = [];
      for (let expert = 0; expert < NUM_EXPERTS; expert++) {
        const slot = table[moe * pager.residencyStride + expert]!;
        expect(slot !== ABSENT).toBe(pager.isResident(moe, expert));
        if (slot === ABSENT) continue;
        taken.push(slot);
        expect(slot).toBe(pager.slotOf(moe, expert));
        const { buffer, offset } = pager.slabs(moe).locate(slot);
        expect(fake.bytesOf(buffer).slice(offset, offset + SLOT_BYTES)).toEqual(expertBytes(10 + moe, expert));
      }
      expect(new Set(taken).size).toBe(taken.length);
      expect(taken.every((slot) => slot < pager.numSlots(moe))).toBe(true);
    }
  };
  const demand = (experts: number[], moe = 0) => ({ moe, experts, guess: false });
  const guess = (experts: number[], moe = 0) => ({ moe, experts, guess: true });
  const use = (...experts: number[]) => {
    pager.advance(1);
    pager.touch(0, new Map(experts.map((expert) => [expert, { count: 1, back: 0 }])));
  };
  return { ...fake, pager, reads, done, raised, resident, expectSound, demand, guess, use };
}

describe("acquire", () => {
  test("brings in what is missing and reads nothing that is there", async () => {
    const { pager, reads, resident, expectSound, demand } = setUp();
    expectSound();
    expect(() => pager.slotOf(0, 5)).toThrow(RangeError);
    await pager.acquire([demand([5, 2])]);
    expect(resident()).toEqual([2, 5]);
    expectSound();
    await pager.acquire([demand([2, 5])]);
    await pager.acquire([]);
    expect(reads).toEqual(["0:5", "0:2"]);
    expect(pager.counts).toMatchObject({ expertsFetched: 2, evictions: 0, expertBytesFetched: 2 * SLOT_BYTES });
  });

  test("evicts by policy, and never what the same layer wants now", async () => {
    const { pager, resident, expectSound, demand, use } = setUp();
    await pager.acquire([demand([0, 1, 2])]);
    use(0);
    use(1);
    use(2);
    await pager.acquire([demand([0, 6])]); // 0 is the oldest, and wanted
    expect(resident()).toEqual([0, 2, 6]);
    expectSound();
    expect(pager.counts.evictions).toBe(1);
    expect(pager.takeChanges()).toEqual([{ fetched: [0, 1, 2, 6], evicted: [1] }]);
    expect(pager.takeChanges()).toEqual([{ fetched: [], evicted: [] }]);
  });

  test("layers do not take slots from each other", async () => {
    const { pager, resident, expectSound, demand } = setUp({ layers: 3, slots: 2 });
    await pager.acquire([demand([0, 1], 0), demand([1, 7], 1), demand([3], 2)]);
    await pager.acquire([demand([4, 5], 1)]);
    expect([0, 1, 2].map(resident)).toEqual([[0, 1], [4, 5], [3]]);
    expectSound();
    expect(pager.takeChanges()[1]).toEqual({ fetched: [1, 7, 4, 5], evicted: expect.arrayContaining([1, 7]) });
  });

  test("demands are read before guesses, whatever their order", async () => {
    const { pager, reads, guess, demand } = setUp({ layers: 2, slots: 4 });
    await pager.acquire([guess([1, 2], 1), demand([5, 6], 0), guess([7], 0)]);
    expect(reads).toEqual(["0:5", "0:6", "1:1", "1:2", "0:7"]);
  });

  test("guesses for which there is no slot beside what is wanted are not read", async () => {
    const { pager, reads, done, resident, expectSound, demand, guess } = setUp({ slots: 3, layers: 2 });
    await pager.acquire([guess([4, 0, 5, 6], 0), demand([0, 1], 0), guess([2, 3, 4, 5], 1)]);
    expect(reads).toEqual(["0:0", "0:1", "0:4", "1:2", "1:3", "1:4"]);
    expect([resident(0), resident(1)]).toEqual([
      [0, 1, 4],
      [2, 3, 4],
    ]);
    expect(pager.counts).toMatchObject({ prefetchesWasted: 0, expertsFetched: 6, evictions: 0 });
    expect(done).toHaveLength(6);
    expectSound();
  });

  test("more demands than slots is the caller's mistake, and what fits is sound", async () => {
    const { pager, resident, expectSound, demand } = setUp({ slots: 2 });
    await expect(pager.acquire([demand([0, 1, 2])])).rejects.toThrow(/layer 10/);
    expect(resident()).toHaveLength(2);
    expectSound();
  });

  test("an expert wanted twice gets one slot", async () => {
    const { pager, resident, expectSound, demand, guess } = setUp();
    await pager.acquire([demand([4]), guess([4, 5])]);
    expect(resident()).toEqual([4, 5]);
    expect(pager.counts.expertsFetched).toBe(2);
    expectSound();
  });

  test("a stall is timed", async () => {
    const { pager, demand } = setUp({
      read: async (expert) => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        return expertBytes(10, expert);
      },
    });
    await pager.acquire([demand([0])]);
    expect(pager.counts.stallMs).toBeGreaterThan(15);
    const before = pager.counts.stallMs;
    await pager.acquire([demand([0])]);
    expect(pager.counts.stallMs).toBe(before);
  });
});

describe("guesses", () => {
  test("useful when used while resident, once", async () => {
    const { pager, guess, use } = setUp();
    await pager.acquire([guess([3, 4])]);
    expect(pager.counts).toMatchObject({ prefetchesUseful: 0, prefetchesWasted: 0 });
    use(3);
    use(3);
    expect(pager.counts).toMatchObject({ prefetchesUseful: 1, prefetchesWasted: 0 });
  });

  test("wasted when evicted unused; evicted after a use they are not", async () => {
    const { pager, resident, demand, guess, use } = setUp({ slots: 2 });
    await pager.acquire([guess([3, 4])]);
    use(4);
    await pager.acquire([demand([0, 1])]);
    expect(resident()).toEqual([0, 1]);
    expect(pager.counts).toMatchObject({ prefetchesUseful: 1, prefetchesWasted: 1, evictions: 2 });
  });

  test("a demand is not counted as a guess, and evicts guesses that nobody used first", async () => {
    const { pager, resident, demand, guess, use } = setUp({ slots: 3 });
    await pager.acquire([demand([0, 1])]);
    use(0, 1);
    await pager.acquire([guess([6])]);
    await pager.acquire([demand([2])]);
    expect(resident()).toEqual([0, 1, 2]);
    expect(pager.counts).toMatchObject({ prefetchesUseful: 0, prefetchesWasted: 1 });
  });
});

describe("late guesses", () => {
  /** Reads that end when they are told to. */
  function held(slots: number) {
    const open = new Map<number, () => void>();
    const priorities: string[] = [];
    const made = setUp({
      slots,
      read: (expert, { signal, priority }) =>
        new Promise((resolve, reject) => {
          priorities.push(`${expert} ${priority}`);
          open.set(expert, () => resolve(expertBytes(10, expert)));
          signal?.addEventListener("abort", () => reject(signal.reason));
        }),
    });
    const arrive = async (...experts: number[]) => {
      await new Promise((resolve) => setTimeout(resolve, 0));
      for (const expert of experts) open.get(expert)?.();
      await new Promise((resolve) => setTimeout(resolve, 0));
    };
    return { ...made, priorities, arrive };
  }
  const soon = { graceMs: 5 };

  test("are waited for a while when the demands are there, and take a slot when they come", async () => {
    const { pager, resident, expectSound, demand, guess, arrive } = held(4);
    const acquired = pager.acquire([demand([0, 1]), guess([2, 3])], { graceMs: 30 });
    let ended = false;
    acquired.then(() => {
      ended = true;
    });
    await arrive(1, 2);
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(ended).toBe(false); // however long a demand takes
    const start = performance.now();
    await arrive(0);
    await acquired;
    expect(performance.now() - start).toBeGreaterThan(20);
    expect(resident()).toEqual([0, 1, 2]);
    await arrive(3);
    expect(resident()).toEqual([0, 1, 2, 3]);
    expectSound();
  });

  test("are not waited for when all are there", async () => {
    const { pager, resident, demand, guess, arrive } = held(4);
    const acquired = pager.acquire([demand([0]), guess([1])], { graceMs: 1e6 });
    await arrive(0, 1);
    await acquired;
    expect(resident()).toEqual([0, 1]);
  });

  test("never take the slot of what was named last", async () => {
    const { pager, done, resident, expectSound, demand, guess, arrive } = held(2);
    const first = pager.acquire([demand([0]), guess([5])], soon);
    await arrive(0);
    await first;
    const second = pager.acquire([demand([1, 2])], soon);
    await arrive(1, 2);
    await second;
    await arrive(5);
    expect(resident()).toEqual([1, 2]);
    expect(pager.counts.prefetchesWasted).toBe(1);
    expect(done).toHaveLength(4); // in a slot or not
    expectSound();
  });

  test("a demand for one raises it, and reads it again only when it does not come", async () => {
    const { pager, resident, priorities, raised, expectSound, demand, guess, arrive } = held(4);
    const first = pager.acquire([demand([0]), guess([1, 2, 3])], soon);
    await arrive(0);
    await first;
    const second = pager.acquire([demand([1]), guess([2])], soon);
    await arrive(1, 2);
    await second;
    expect(priorities).toEqual(["0 demand", "1 guess", "2 guess", "3 guess"]);
    expect(raised).toEqual([1]);
    expect(resident()).toEqual([0, 1, 2]);
    const third = pager.acquire([demand([3])], soon);
    await new Promise((resolve) => setTimeout(resolve, 0));
    void pager.endGuesses();
    await arrive(3);
    await third;
    expect(priorities.at(-1)).toBe("3 demand");
    expect(resident()).toEqual([0, 1, 2, 3]);
    expect(pager.counts).toMatchObject({ expertsFetched: 4, expertBytesFetched: 4 * SLOT_BYTES });
    expectSound();
  });

  test("an abort of a demand ends the guess that it waited for", async () => {
    const controller = new AbortController();
    const { pager, resident, demand, guess, arrive } = held(4);
    const first = pager.acquire([demand([0]), guess([1])], soon);
    await arrive(0);
    await first;
    const second = pager.acquire([demand([1])], { signal: controller.signal });
    await new Promise((resolve) => setTimeout(resolve, 0));
    controller.abort();
    await expect(second).rejects.toMatchObject({ name: "AbortError" });
    await arrive(1);
    expect(resident()).toEqual([0]);
  });

  test.each(["endGuesses", "resize", "dispose"] as const)("%s ends them: none comes into a slot", async (how) => {
    const { pager, ledger, resident, demand, guess, arrive } = held(3);
    const acquired = pager.acquire([demand([0]), guess([1, 2])], soon);
    await arrive(0);
    await acquired;
    await (how === "resize" ? pager.resize(4) : pager[how]());
    await arrive(1, 2);
    if (how === "dispose") expect(ledger.byOwner()).toEqual({});
    else expect(resident()).toEqual(how === "resize" ? [] : [0]);
    expect(pager.counts.expertsFetched).toBe(1);
  });

  test("those for a step to come are ended with the others", async () => {
    const { pager, resident, demand, guess, arrive } = held(3);
    const acquired = pager.acquire([demand([0])], soon);
    pager.guess([guess([1, 2])]);
    await arrive(0);
    await acquired;
    const ended = pager.endGuesses();
    await arrive(1, 2);
    await ended;
    expect(resident()).toEqual([0]);
  });

  test("do not pile up: beyond a number under way none is read", async () => {
    let reads = 0;
    const { pager, demand, guess } = setUp({
      slots: 8,
      layers: 10,
      read: async (expert) => {
        reads += 1;
        return expert === 0 ? expertBytes(10, 0) : new Promise(() => {});
      },
    });
    const guesses = Array.from({ length: 10 }, (_, moe) => guess([1, 2, 3, 4, 5, 6, 7], moe));
    await pager.acquire([demand([0]), ...guesses], soon);
    expect(reads).toBe(49);
  });

  test("as many as are wanted where all are waited for", async () => {
    const { pager, resident, guess } = setUp({ slots: 8, layers: 10 });
    await pager.acquire(Array.from({ length: 10 }, (_, moe) => guess([0, 1, 2, 3, 4, 5, 6, 7], moe)));
    expect(resident(9)).toHaveLength(8);
  });

  test("a demand for one that waits for its turn does not wait with it", async () => {
    // An expert as large as all reads under way may be: six at a time.
    const open: number[] = [];
    const fake = fakeGpu();
    const slotBytes = 64 * 2 ** 20;
    const read: PagedLayer["read"] = (expert) => {
      open.push(expert);
      return expert === 0 || expert === 7 ? Promise.resolve(expertBytes(10, expert)) : new Promise(() => {});
    };
    const geometry = { ...slabGeometry(SLOT_BYTES, NUM_EXPERTS, 2, 1 << 20), slotBytes };
    const layer: PagedLayer = { layer: 10, numExperts: NUM_EXPERTS, geometry, read };
    const pager = new Pager({ ...fake.gpu, queue: { ...fake.gpu.queue, write: () => {} } as never }, [layer], "lru", 8);
    const wants = [{ moe: 0, experts: [1, 2, 3, 4, 5, 6, 7], guess: true }];
    await pager.acquire([{ moe: 0, experts: [0], guess: false }, ...wants], soon);
    expect(open).toEqual([0, 1, 2, 3, 4, 5, 6]);
    await pager.acquire([{ moe: 0, experts: [7], guess: false }], soon);
    expect(pager.isResident(0, 7)).toBe(true);
  });

  test("an abort while they are waited for", async () => {
    const controller = new AbortController();
    const { pager, resident, expectSound, demand, guess, arrive } = held(3);
    const acquired = pager.acquire([demand([0]), guess([1])], { graceMs: 1e6, signal: controller.signal });
    await arrive(0);
    controller.abort();
    await expect(acquired).rejects.toMatchObject({ name: "AbortError" });
    await arrive(1);
    expect(resident()).toEqual([0]);
    expectSound();
  });
});

describe("guesses for a step to come", () => {
  test("are read behind the step's own wants, as far as slots go beside them", async () => {
    const { pager, reads, resident, expectSound, demand, guess } = setUp({ slots: 3, layers: 2 });
    const acquired = pager.acquire([demand([0, 1], 0)]);
    pager.guess([guess([1, 5, 6], 0), guess([2, 3], 1)]);
    await acquired;
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(reads).toEqual(["0:0", "0:1", "0:5", "1:2", "1:3"]);
    expect([resident(0), resident(1)]).toEqual([
      [0, 1, 5],
      [2, 3],
    ]);
    expectSound();
  });

  test("keep their slots from later guesses, and give them to demands where nothing else is left", async () => {
    const { pager, reads, resident, expectSound, demand, guess, use } = setUp({ slots: 3 });
    await pager.acquire([demand([0, 1])]);
    use(0, 1);
    pager.guess([guess([5, 6])]);
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(resident()).toEqual([0, 1, 5]);
    await pager.acquire([demand([2]), guess([3])]);
    expect(resident()).toEqual([2, 3, 5]); // 5 was never used, and is the last to go
    await pager.acquire([demand([2, 3, 4])]);
    expect(resident()).toEqual([2, 3, 4]);
    expect(pager.counts.prefetchesWasted).toBe(1);
    expectSound();
    pager.dispose();
    const before = reads.length;
    pager.guess([guess([7])]);
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(reads).toHaveLength(before);
  });
});

describe("resize", () => {
  test.each([2, 5, 8, 100])("to %i slots: empty, of that size, and usable", async (slots) => {
    const { pager, ledger, resident, expectSound, demand } = setUp({ slots: 3, layers: 2 });
    await pager.acquire([demand([0, 1, 2], 0), demand([7], 1)]);
    pager.takeChanges();
    await pager.resize(slots);
    const expected = Math.min(slots, NUM_EXPERTS);
    expect([pager.numSlots(0), pager.numSlots(1)]).toEqual([expected, expected]);
    expect([resident(0), resident(1)]).toEqual([[], []]);
    expect(ledger.byOwner().slots).toBe(2 * expected * SLOT_BYTES);
    expect(pager.takeChanges().map(({ evicted }) => evicted)).toEqual([[0, 1, 2], [7]]);
    expectSound();
    await pager.acquire([demand([6, 1], 0)]);
    expectSound();
  });

  test("what is at hand comes back without a read, the worthiest first; the rest is evicted", async () => {
    const { pager, reads, resident, expectSound, demand, use } = setUp({ slots: 5, near: [0, 1, 3, 4, 6] });
    await pager.acquire([demand([0, 1, 2]), demand([3, 4])]);
    for (const expert of [4, 0, 3, 1, 2]) use(expert); // the last used last
    pager.takeChanges();
    const fetched = reads.length;
    await pager.resize(3);
    expect(resident()).toEqual([0, 1, 3]);
    expectSound();
    expect(pager.takeChanges()).toEqual([{ fetched: [], evicted: [2, 4] }]);
    await pager.resize(4);
    expect(resident()).toEqual([0, 1, 3]);
    expect(pager.takeChanges()).toEqual([{ fetched: [], evicted: [] }]);
    expect(reads).toHaveLength(fetched);
    expect(pager.counts.expertsFetched).toBe(5 + 3 + 3);
    await pager.acquire([demand([5, 6])]);
    expectSound();
  });

  test("slots that went with their device are filled again with what is at hand", async () => {
    const { pager, resident, expectSound, demand } = setUp({ slots: 3, layers: 2, near: [0, 7] });
    await pager.acquire([demand([0, 1, 2], 0), demand([7], 1)]);
    pager.takeChanges();
    await pager.drop();
    expect([resident(0), resident(1)]).toEqual([[], []]);
    await pager.resize(3);
    expect([resident(0), resident(1)]).toEqual([[0], [7]]);
    expect(pager.takeChanges().map(({ evicted }) => evicted)).toEqual([[1, 2], []]);
    expectSound();
  });

  test("to the slots there are: nothing moves", async () => {
    const { pager, resident, demand } = setUp({ slots: 3 });
    await pager.acquire([demand([0, 1])]);
    await pager.resize(3);
    expect(resident()).toEqual([0, 1]);
    expect(pager.counts.evictions).toBe(0);
  });

  test("never holds old and new slots together", async () => {
    const { pager, ledger } = setUp({ slots: 4, layers: 3 });
    const before = ledger.peakBytes;
    await pager.resize(3);
    expect(ledger.peakBytes).toBe(before);
  });

  test("what was used before counts after it", async () => {
    const { pager, resident, demand, use } = setUp({ slots: 2 });
    await pager.acquire([demand([0, 1])]);
    use(1);
    use(0);
    await pager.resize(3);
    await pager.acquire([demand([0, 1])]);
    await pager.acquire([demand([5])]);
    await pager.acquire([demand([6, 5])]);
    expect(resident()).toEqual([0, 5, 6]);
  });

  test("refused memory: an error, no slot, no leak, and a later size works", async () => {
    const { pager, ledger, resident, refuseAfter, expectSound, demand } = setUp({ slots: 3, layers: 2 });
    await pager.acquire([demand([0, 1], 0), demand([2], 1)]);
    refuseAfter(1);
    await expect(pager.resize(6)).rejects.toThrow(DeviceError);
    expectSound();
    expect(resident(1)).toEqual([]);
    expect(ledger.byOwner().slots).toBe(6 * SLOT_BYTES); // the first layer's
    refuseAfter(Number.POSITIVE_INFINITY);
    await pager.resize(3);
    await pager.acquire([demand([0, 1], 0), demand([2], 1)]);
    expect([resident(0), resident(1)]).toEqual([[0, 1], [2]]);
    expectSound();
  });
});

describe("what goes wrong half-way leaves a sound state", () => {
  test("a guess that fails to arrive is done without", async () => {
    const { pager, resident, expectSound, demand, guess } = setUp({
      layers: 2,
      read: async () => {
        throw new DeviceError("gone");
      },
    });
    await expect(pager.acquire([guess([7], 1)])).resolves.toBeUndefined();
    await expect(pager.acquire([demand([7], 1)])).rejects.toThrow("gone");
    expect(resident(1)).toEqual([]);
    expectSound();
  });

  test("a read that fails", async () => {
    const late: number[] = [];
    const { pager, resident, expectSound, demand, use } = setUp({
      slots: 3,
      read: async (expert, { signal }) => {
        if (expert === 4) throw new Error("gone");
        if (expert > 4) {
          await new Promise((resolve) => setTimeout(resolve, 10));
          if (signal?.aborted) throw signal.reason;
          late.push(expert);
        }
        return expertBytes(10, expert);
      },
    });
    await pager.acquire([demand([0, 1, 2])]);
    use(0, 1, 2);
    await expect(pager.acquire([demand([3, 4, 5])])).rejects.toThrow("gone");
    expect(resident()).toContain(3);
    expect(resident()).not.toContain(4);
    const after = resident();
    expectSound();
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(resident()).toEqual(after); // nothing arrives behind the caller's back
    expect(late).toEqual([]);
    await pager.acquire([demand([0, 3])]);
    expect(resident()).toEqual(expect.arrayContaining([0, 3]));
    expectSound();
  });

  test("an abort", async () => {
    const controller = new AbortController();
    const { pager, resident, expectSound, demand } = setUp({
      slots: 8,
      read: async (expert, { signal }) => {
        if (expert === 0) return expertBytes(10, 0);
        if (expert === 1) controller.abort();
        return new Promise((_, reject) => {
          if (signal?.aborted) reject(signal.reason);
          signal?.addEventListener("abort", () => reject(signal.reason));
        });
      },
    });
    await expect(pager.acquire([demand([0, 1, 2, 3, 4, 5, 6, 7])], { signal: controller.signal })).rejects.toThrow(
      expect.objectContaining({ name: "AbortError" }),
    );
    expect(resident()).toEqual([0]);
    expectSound();
  });

  test("a signal that has fired before: nothing is read", async () => {
    const { pager, reads, demand, expectSound } = setUp();
    await expect(pager.acquire([demand([0])], { signal: AbortSignal.abort() })).rejects.toThrow(
      expect.objectContaining({ name: "AbortError" }),
    );
    expect(reads).toEqual([]);
    expectSound();
  });
});

test("slots over several bindings", async () => {
  // Two slots a binding: eight experts take four.
  const { pager, expectSound, demand } = setUp({ slots: 7, bindingBytes: 2 * SLOT_BYTES });
  expect(pager.slabs(0).bindings).toHaveLength(4);
  await pager.acquire([demand([0, 1, 2, 3, 4, 5, 6])]);
  await pager.acquire([demand([7, 3])]);
  expectSound();
});

test("random wants against a model of sets", async () => {
  const { pager, expectSound, demand, guess, resident, use } = setUp({ slots: 4, policy: "lfru" });
  let state = 12345;
  const next = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 16) % below;
  };
  for (let step = 0; step < 300; step++) {
    const wanted = [...new Set([next(8), next(8)])];
    const guessed = [...new Set([next(8), next(8), next(8)])].filter((expert) => !wanted.includes(expert));
    await pager.acquire([demand(wanted), guess(guessed)]);
    for (const expert of wanted) expect(pager.isResident(0, expert)).toBe(true);
    expect(resident().length).toBeLessThanOrEqual(4);
    use(...wanted);
  }
  expectSound();
  const { expertsFetched, evictions } = pager.counts;
  expect(expertsFetched - evictions).toBe(resident().length);
  expect(pager.residentFlags()).toEqual([
    { layer: 10, resident: [...Array(8).keys()].map((expert) => pager.isResident(0, expert)) },
  ]);
});

test("dispose leaves nothing on the ledger", async () => {
  const { pager, ledger, demand } = setUp({ layers: 2 });
  await pager.acquire([demand([0], 1)]);
  pager.dispose();
  expect(ledger.byOwner()).toEqual({});
});
