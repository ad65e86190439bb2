/** The ledger counts every buffer by owner, and refusals leave nothing on it. */
import { describe, expect, test } from "vitest";
import { DeviceError } from "../../../src/errors.ts";
import { fakeGpu } from "./fake-gpu.ts";

test("bytes by owner, whole 16s, down to an empty record", () => {
  const { ledger } = fakeGpu();
  expect(ledger.byOwner()).toEqual({});
  const a = ledger.create("dense", "a", 100, 0);
  const b = ledger.create("dense", "b", 1, 0);
  const c = ledger.create("kv", "c", 0, 0);
  expect([a.bytes, b.bytes, c.bytes]).toEqual([112, 16, 16]);
  expect(ledger.byOwner()).toEqual({ dense: 128, kv: 16 });
  expect(ledger.totalBytes).toBe(144);
  a.destroy();
  expect(ledger.byOwner()).toEqual({ dense: 16, kv: 16 });
  b.destroy();
  c.destroy();
  expect(ledger.byOwner()).toEqual({});
  expect(ledger.totalBytes).toBe(0);
  expect(ledger.peakBytes).toBe(144);
});

test("destroying twice counts once", () => {
  const { ledger } = fakeGpu();
  const a = ledger.create("slots", "a", 32, 0);
  ledger.create("slots", "b", 32, 0);
  a.destroy();
  a.destroy();
  expect(ledger.byOwner()).toEqual({ slots: 32 });
});

test("destroyAll leaves nothing, and later destroys are harmless", () => {
  const { ledger } = fakeGpu();
  const buffers = (["dense", "slots", "kv", "scratch"] as const).map((owner) => ledger.create(owner, owner, 64, 0));
  ledger.destroyAll();
  for (const buffer of buffers) buffer.destroy();
  expect(ledger.byOwner()).toEqual({});
  expect(ledger.totalBytes).toBe(0);
});

test("a buffer over the device's limit is refused by name, with both sizes", () => {
  const { ledger } = fakeGpu(1024);
  expect(() => ledger.create("dense", "head", 1025, 0)).toThrow(DeviceError);
  expect(() => ledger.create("dense", "head", 1025, 0)).toThrow(/"head".*1040.*1024/);
  expect(ledger.totalBytes).toBe(0);
  expect(ledger.create("dense", "head", 1024, 0).bytes).toBe(1024);
});

describe("checked", () => {
  test("gives what was made, and closes its scopes", async () => {
    const { ledger, openScopes } = fakeGpu();
    const made = await ledger.checked("two", () => [1, 2].map((n) => ledger.create("kv", `${n}`, 16 * n, 0)));
    expect(made.map(({ bytes }) => bytes)).toEqual([16, 32]);
    expect(openScopes()).toBe(0);
  });

  test("refused memory is a DeviceError that says for what, and takes back what it made", async () => {
    const { ledger, refuseAfter, openScopes } = fakeGpu();
    ledger.create("dense", "before", 16, 0);
    refuseAfter(1);
    const making = ledger.checked("a cache", () => [0, 1, 2].map((n) => ledger.create("kv", `${n}`, 1024, 0)));
    ledger.create("scratch", "meanwhile", 16, 0);
    const error: unknown = await making.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DeviceError);
    expect(String(error)).toMatch(/a cache.*no memory left.*gpuBudgetBytes/);
    expect(ledger.byOwner()).toEqual({ dense: 16, scratch: 16 });
    expect(openScopes()).toBe(0);
  });

  test("an error half-way through takes back what was made before it", async () => {
    const { ledger, openScopes } = fakeGpu(1024);
    const sizes = [512, 2048];
    const making = ledger.checked("both", () => sizes.map((size) => ledger.create("slots", "a slab", size, 0)));
    await expect(making).rejects.toThrow(/"a slab" needs 2048 bytes/);
    expect(ledger.byOwner()).toEqual({});
    expect(openScopes()).toBe(0);
  });
});
