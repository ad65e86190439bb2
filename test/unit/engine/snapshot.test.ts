/** A session as bytes: what goes in comes out, and damage of any kind is noticed. */
import { describe, expect, test } from "vitest";
import {
  checkSnapshot,
  checkStores,
  layOutSnapshot,
  readSnapshot,
  type SnapshotState,
  sealSnapshot,
} from "../../../src/engine/snapshot.ts";
import type { Phase } from "../../../src/engine/timeline.ts";
import { FormatError, UsageError } from "../../../src/errors.ts";
import { createRandom } from "../../reference/compare.ts";

const STATE: SnapshotState = {
  model: "ab12",
  contextLength: 64,
  tokens: [5, 0, 299, 2 ** 31, 7],
  phases: ["prefill", "prefill", "prefill", "decode", "decode"],
  computed: 5,
  written: 6,
  stores: [
    { rowBytes: 32, capacity: 64, rows: 5 },
    { rowBytes: 16, capacity: 4, rows: 4 },
  ],
};

async function sealed(state: SnapshotState): Promise<{ bytes: Uint8Array<ArrayBuffer>; rowsAt: number }> {
  const { bytes, rowsAt } = layOutSnapshot(state);
  bytes.fill(0xa5, rowsAt, bytes.length - 32);
  await sealSnapshot(bytes);
  return { bytes, rowsAt };
}

test("state and rows come back, for timelines of any length", async () => {
  const { int } = createRandom();
  for (let length = 0; length < 9; length++) {
    const tokens = Array.from({ length }, () => int(0, 2 ** 32 - 1));
    const phases = tokens.map((): Phase => (int(0, 1) === 1 ? "decode" : "prefill"));
    const state = { ...STATE, tokens, phases, computed: length, written: length };
    const { bytes, rowsAt } = await sealed(state);
    const read = await readSnapshot(bytes);
    expect(read.state).toEqual(state);
    expect(read.rowsAt).toBe(rowsAt);
    expect(rowsAt % 4).toBe(0);
    expect(bytes.length - rowsAt - 32).toBe(5 * 32 + 4 * 16);
    expect(bytes.subarray(rowsAt, -32).every((byte) => byte === 0xa5)).toBe(true);
  }
});

test("a byte changed anywhere, and a cut anywhere, is a FormatError", async () => {
  const { int } = createRandom();
  const { bytes } = await sealed(STATE);
  for (let at = 0; at < bytes.length; at += at < 40 ? 1 : int(1, 9)) {
    const damaged = bytes.slice();
    damaged[at] = (damaged[at] ?? 0) ^ (1 << int(0, 7));
    await expect(readSnapshot(damaged), `byte ${at}`).rejects.toBeInstanceOf(FormatError);
    await expect(readSnapshot(bytes.slice(0, at)), `cut at ${at}`).rejects.toBeInstanceOf(FormatError);
  }
  await expect(readSnapshot(bytes.slice(0, -1))).rejects.toThrow(/cut short or damaged/);
  await expect(readSnapshot(new TextEncoder().encode("GGUF".repeat(40)))).rejects.toThrow(/snapshot was expected/);
});

test("another version says which", async () => {
  const { bytes } = await sealed(STATE);
  bytes[8] = 9;
  await sealSnapshot(bytes);
  await expect(readSnapshot(bytes)).rejects.toThrow(/version 9.*reads 1/);
});

describe("what does not fit is a UsageError", () => {
  test("another model, another context", () => {
    expect(() => checkSnapshot(STATE, "cd34", undefined)).toThrow(UsageError);
    expect(() => checkSnapshot(STATE, "cd34", undefined)).toThrow(/another model/);
    expect(() => checkSnapshot(STATE, "ab12", 128)).toThrow(/context of 64 tokens.*128/);
    for (const contextLength of [undefined, 64]) expect(checkSnapshot(STATE, "ab12", contextLength)).toBeUndefined();
  });

  test("a cache that is cut otherwise", () => {
    const { stores } = STATE;
    expect(checkStores(stores, stores)).toBeUndefined();
    expect(() => checkStores(stores, stores.slice(1))).toThrow(UsageError);
    expect(() => checkStores(stores, [stores[0]!, { rowBytes: 16, capacity: 5 }])).toThrow(/cut otherwise/);
  });
});
