/** `canRun` where there is no GPU: what stands in the way, what the disk has, and what is the caller's mistake. */
import { describe, expect, test } from "vitest";
import { canRun, type RunPlace } from "../../../src/engine/can-run.ts";
import { UsageError } from "../../../src/errors.ts";
import { folderFileSet, memoryFileSet, readRepositoryFile } from "../../fixtures/files.ts";
import { memoryOpfs } from "../../fixtures/memory-opfs.ts";

const FOLDER = "test/fixtures/mai/base-f32";
const PLACE: RunPlace = { gpu: undefined, deviceMemory: 8 };
const local = { open: async () => folderFileSet(FOLDER), isRemote: false };
const remote = { ...local, isRemote: true };

function storageOf(quota: number, usage: number, persisted: boolean): NonNullable<RunPlace["storage"]> {
  const { root } = memoryOpfs();
  return {
    getDirectory: async () => root,
    estimate: async () => ({ quota, usage }),
    persisted: async () => persisted,
  };
}

test("a family that is not supported: every reason, in words, and no numbers", async () => {
  const config = JSON.parse(new TextDecoder().decode(readRepositoryFile(`${FOLDER}/config.json`)));
  const files = memoryFileSet({
    "config.json": JSON.stringify({ ...config, model_type: "strange", architectures: ["StrangeForCausalLM"] }),
    "model.safetensors": readRepositoryFile(`${FOLDER}/model.safetensors`),
  });
  const answer = await canRun(PLACE, { open: async () => files, isRemote: false }, {});
  expect(answer).toMatchObject({ verdict: "does-not-run", suggestedBudgetBytes: null, speed: null, firstToken: null });
  expect(answer.reasons.map(({ code }) => code)).toEqual(["unsupported", "no-webgpu"]);
  expect(answer.reasons[0]?.text).toMatch(/strange.*not supported; supported: /i);
});

describe("the disk", () => {
  test("room, and what is not off", async () => {
    const answer = await canRun({ ...PLACE, storage: storageOf(2e9, 1e9, true) }, remote, {});
    const stored = readRepositoryFile(`${FOLDER}/model.safetensors`).length;
    expect(answer.disk).toMatchObject({ availableBytes: 8e8, persistent: true, cachedBytes: 0, cachedExpertShare: 0 });
    expect(answer.disk?.neededBytes).toBeGreaterThan(0.9 * stored);
    expect(answer.warnings.map(({ code }) => code)).toEqual(["no-tokenizer"]);
  });

  test("too little of it, not for good, or none: warnings", async () => {
    const codes = async (storage: RunPlace["storage"]) =>
      (await canRun({ ...PLACE, storage }, remote, {})).warnings.map(({ code }) => code);
    expect(await codes(storageOf(1000, 0, false))).toEqual([
      "no-tokenizer",
      "disk-too-small",
      "storage-not-persistent",
    ]);
    expect(await codes(undefined)).toEqual(["no-tokenizer", "no-storage"]);
    const forbidden = { ...storageOf(1, 1, true), getDirectory: () => Promise.reject(new Error("private window")) };
    expect(await codes(forbidden)).toEqual(["no-tokenizer", "no-storage"]);
  });

  test("files at hand are not stored", async () => {
    expect((await canRun({ ...PLACE, storage: storageOf(1000, 0, false) }, local, {})).disk).toBeNull();
  });
});

describe("the device and the headers", () => {
  function slowGpu() {
    let answer: (adapter: GPUAdapter | null) => void = () => {};
    const gpu = {
      requestAdapter: () =>
        new Promise<GPUAdapter | null>((resolve) => {
          answer = resolve;
        }),
    } as unknown as GPU;
    return { gpu, answer: (adapter: GPUAdapter | null) => answer(adapter) };
  }

  test("come side by side", async () => {
    const { gpu, answer } = slowGpu();
    let opened: () => void = () => {};
    const opening = new Promise<void>((resolve) => {
      opened = resolve;
    });
    const open = () => {
      opened();
      return local.open();
    };
    const asked = canRun({ ...PLACE, gpu }, { ...local, open }, {});
    await opening; // though there is no adapter yet
    answer(null);
    expect((await asked).reasons.map(({ code }) => code)).toEqual(["no-adapter"]);
  });

  test("are not waited for by who is aborted, and a device that comes late is let go", async () => {
    const { gpu, answer } = slowGpu();
    const stop = new AbortController();
    const asked = canRun({ ...PLACE, gpu }, local, {}, stop.signal);
    await new Promise((resolve) => setTimeout(resolve, 20));
    stop.abort();
    await expect(asked).rejects.toMatchObject({ name: "AbortError" });
    let destroyed = false;
    const limits = { maxStorageBufferBindingSize: 2 ** 27, maxBufferSize: 2 ** 28 };
    const device = {
      limits,
      features: new Set(),
      lost: new Promise(() => {}),
      destroy: () => {
        destroyed = true;
      },
    };
    const info = { vendor: "v", architecture: "a", description: "d", device: "" };
    answer({ limits, info, requestDevice: async () => device } as unknown as GPUAdapter);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(destroyed).toBe(true);
  });

  test("fail alone: headers that cannot be read end it though the device does not come", async () => {
    const open = () => Promise.reject(new UsageError("nothing here"));
    await expect(canRun({ ...PLACE, gpu: slowGpu().gpu }, { ...local, open }, {})).rejects.toThrow("nothing here");
  });
});

test("a user who saves data is told what that leaves out", async () => {
  const answer = await canRun({ ...PLACE, saveData: true }, local, {});
  expect(answer.warnings.map(({ code }) => code)).toEqual(["no-tokenizer", "save-data"]);
});

test.each([{ gpuBudgetBytes: 0 }, { gpuBudgetBytes: Number.NaN }, { promptTokens: -1 }, { contextLength: 0 }])(
  "a senseless option: %o",
  async (options) => {
    await expect(canRun(PLACE, local, options)).rejects.toThrow(UsageError);
  },
);
