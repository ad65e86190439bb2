/** Picking models and what is kept of them, as plain functions: what a reader types, the list, storage. */
import { describe, expect, test } from "vitest";
import { CATALOGUE } from "../../../demo/models/catalogue.ts";
import {
  choiceOfEntry,
  choiceOfFiles,
  choiceOfText,
  firstChoice,
  isRemote,
  OCTAVO_TALES,
  placeOf,
} from "../../../demo/models/choice.ts";
import { whyNoPause } from "../../../demo/models/pausing.ts";
import { ago, StorageShelf } from "../../../demo/models/storage.ts";
import { parseHubId } from "../../../src/client/model-source.ts";
import type { CachedModel } from "../../../src/index.ts";

describe("what a reader types", () => {
  test.each([
    ["owner/name", { repo: "owner/name" }],
    ["hf:owner/name", { repo: "owner/name" }],
    ["owner/name:Q4_K_M", { repo: "owner/name", quantization: "Q4_K_M" }],
    ["owner/name@main", { repo: "owner/name", revision: "main" }],
    ["owner/name:Q4_K_M@v1", { repo: "owner/name", revision: "v1", quantization: "Q4_K_M" }],
    ["owner/name@v1:Q4_K_M", { repo: "owner/name", revision: "v1", quantization: "Q4_K_M" }],
    ["owner/name:some-model.gguf", { repo: "owner/name", file: "some-model.gguf" }],
  ])("%s is a model on a hub", (text, source) => {
    expect(choiceOfText(text).source).toEqual(source);
    expect(choiceOfText(text, "hf_secret").source).toEqual({ ...source, token: "hf_secret" });
    expect(
      JSON.stringify([choiceOfText(text, "hf_secret").label, placeOf(choiceOfText(text, "hf_secret"))]),
    ).not.toMatch(/secret/);
  });

  test.each([
    ["https://example.org/a/tales.gguf?x=1", "tales.gguf"],
    ["models/tales.gguf", "tales.gguf"],
    ["./folder/name", "name"],
    ["https://huggingface.co/owner/name", "name"],
  ])("%s is an address, and a token does not go there", (text, label) => {
    expect(choiceOfText(text, "hf_secret")).toEqual({ label, source: text });
  });

  test("ids are understood as the runtime understands them", () => {
    for (const text of ["owner/name", "hf:o/n@r:Q8_0", "o/n:f.gguf"]) {
      expect(choiceOfText(text).source).toEqual(parseHubId(text));
    }
    expect(parseHubId("models/tales.gguf")).toBeUndefined();
    expect(firstChoice("?model=owner%2Fname").source).toEqual({ repo: "owner/name" });
    expect(firstChoice("?other")).toBe(OCTAVO_TALES);
  });

  test("files are named by the one with the weights", () => {
    const file = (name: string) => new File([], name);
    expect(choiceOfFiles([file("config.json"), file("model.safetensors")]).label).toBe("model.safetensors and 1 more");
  });
});

test("the list is of ids that the runtime takes, small to large", () => {
  const sizes = CATALOGUE.map(({ fileBytes }) => fileBytes);
  expect(sizes).toEqual(sizes.toSorted((a, b) => a - b));
  for (const entry of CATALOGUE) {
    const { repo, quantization } = entry;
    expect(parseHubId(`${repo}:${quantization}`)).toEqual({ repo, quantization });
    expect(choiceOfEntry(entry).source).toEqual({ repo, quantization });
    expect(entry.activeBillions).toBeLessThan(entry.billions);
    // A file of four to five bits a weight, or a slip in one of its figures.
    expect((8 * entry.fileBytes) / (entry.billions * 1e9)).toBeGreaterThan(4);
    expect((8 * entry.fileBytes) / (entry.billions * 1e9)).toBeLessThan(5.5);
  }
});

test("a load can be paused where what came is kept", () => {
  const storage = { getDirectory: () => undefined };
  expect(whyNoPause(OCTAVO_TALES, storage)).toBe("");
  expect(isRemote(choiceOfText("owner/name"))).toBe(true);
  expect(whyNoPause(OCTAVO_TALES, {})).toMatch(/may not store/);
  expect(whyNoPause(choiceOfFiles([new File([], "a.gguf")]), storage)).toMatch(/no download/);
});

describe("storage", () => {
  const model = (id: string): CachedModel => ({ id, source: "s", name: id, bytes: 5, expertShare: 0.5, lastUsed: 1 });

  test("tells models, room and whether it is kept, and follows what is deleted", async () => {
    let models = [model("a"), model("b")];
    let persisted = false;
    const shelf = new StorageShelf({
      cachedModels: async () => models,
      deleteCachedModel: async (id) => {
        models = models.filter((kept) => kept.id !== id);
      },
      storage: {
        estimate: async () => ({ usage: 10, quota: 100 }),
        persisted: async () => persisted,
        persist: async () => {
          persisted = true;
          return true;
        },
      },
    });
    expect(shelf.value).toBeNull();
    await shelf.refresh();
    expect(shelf.value).toEqual({ models, usage: 10, quota: 100, persisted: false });
    await shelf.delete("a");
    expect(shelf.value?.models.map(({ id }) => id)).toEqual(["b"]);
    expect(await shelf.persist()).toBe(true);
    expect(shelf.value?.persisted).toBe(true);
  });

  test("a browser that tells nothing is no error, and a refusal is", async () => {
    const shelf = new StorageShelf({
      cachedModels: async () => [],
      deleteCachedModel: async () => {
        throw new Error("in use");
      },
      storage: undefined,
    });
    await shelf.refresh();
    expect(shelf.value).toEqual({ models: [], usage: null, quota: null, persisted: null });
    expect(await shelf.persist()).toBe(false);
    await expect(shelf.delete("a")).rejects.toThrow("in use");
  });

  test("says how long ago", () => {
    const now = 1e12;
    expect([0, now, now - 59_000, now - 61_000, now - 3 * 3_600_000, now - 86_400_000].map((t) => ago(t, now))).toEqual(
      ["unknown", "just now", "just now", "1 minute ago", "3 hours ago", "1 day ago"],
    );
  });
});
