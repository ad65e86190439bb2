/** The doors in Node, as far as they go without a GPU; the rest is the batch example, run by the e2e tier. */
import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { canRun, DeviceError, inspectModel, loadModel, loadTokenizer, SourceError } from "../../../src/node.ts";
import { repositoryPath } from "../../fixtures/files.ts";
import { serveFiles } from "../../fixtures/http-server.ts";

const MODEL = repositoryPath("demo/public/models/octavo-tales/octavo-tales-q8_0.gguf");
const noAdapter = { requestAdapter: async () => null };

describe("a model in Node", () => {
  test("without a WebGPU: what to install", async () => {
    await expect(loadModel(MODEL)).rejects.toThrow(DeviceError);
    await expect(loadModel(MODEL)).rejects.toThrow(/webgpu package/);
  });

  test("without an adapter: DeviceError, after the header was read", async () => {
    const phases: string[] = [];
    const onProgress = ({ phase }: { phase: string }) => phases.push(phase);
    await expect(loadModel(MODEL, { gpu: noAdapter, onProgress })).rejects.toThrow(DeviceError);
    expect(phases).toEqual(["header", "device"]);
  });

  test("nothing at the path: SourceError with the path", async () => {
    const missing = repositoryPath("no-such/model.gguf");
    await expect(loadModel(missing, { gpu: noAdapter })).rejects.toThrow(SourceError);
    await expect(loadModel(missing, { gpu: noAdapter })).rejects.toThrow(missing);
  });

  test("aborted before it begins", async () => {
    const signal = AbortSignal.abort();
    await expect(loadModel(MODEL, { gpu: noAdapter, signal })).rejects.toMatchObject({ name: "AbortError" });
  });
});

describe("canRun in Node", () => {
  test("without a WebGPU, or an adapter: an answer with what the model is, and what to install", async () => {
    const none = await canRun(MODEL);
    expect(none).toMatchObject({ verdict: "does-not-run", disk: null, device: null, reasons: [{ code: "no-webgpu" }] });
    expect(none.reasons[0]?.text).toMatch(/webgpu package.*canRun\(source, \{ gpu/);
    expect(none.model.description?.parameters.total).toBe(17_226_752);
    const blocked = await canRun(pathToFileURL(MODEL), { gpu: noAdapter, contextLength: 64 });
    expect(blocked.reasons.map(({ code }) => code)).toEqual(["no-adapter"]);
    expect(blocked.model.description?.memory.contextLength).toBe(64);
  });

  test("over the network nothing is cached; a missing path and an abort are errors", async () => {
    const server = await serveFiles({ "tales.gguf": new Uint8Array(readFileSync(MODEL)) });
    const { disk, warnings } = await canRun(`${server.url}tales.gguf`, { gpu: noAdapter });
    await server.close();
    expect(disk).toBeNull();
    expect(warnings).toEqual([]);
    await expect(canRun(repositoryPath("no-such/model.gguf"), { gpu: noAdapter })).rejects.toThrow(SourceError);
    const never = { requestAdapter: () => new Promise<null>(() => {}) };
    const stop = new AbortController();
    const asked = canRun(MODEL, { gpu: never, signal: stop.signal });
    setTimeout(() => stop.abort(), 20);
    await expect(asked).rejects.toMatchObject({ name: "AbortError" });
  });
});

describe("a source in Node", () => {
  test.each([
    ["a path", MODEL],
    ["a path from here", relative(process.cwd(), MODEL)],
    ["a file: address", pathToFileURL(MODEL).href],
    ["a file: URL", pathToFileURL(MODEL)],
  ])("%s", async (_name, source) => {
    const { description } = await inspectModel(source);
    expect(description?.parameters.total).toBe(17_226_752);
  });

  test("an http address, read by range", async () => {
    const server = await serveFiles({ "tales.gguf": new Uint8Array(readFileSync(MODEL)) });
    const { bytesRead, description } = await inspectModel(`${server.url}tales.gguf`);
    await server.close();
    expect(description?.name).toBe((await inspectModel(MODEL)).description?.name);
    expect(bytesRead).toBeLessThan(2_000_000);
  });

  test("a tokenizer of a path", async () => {
    const tokenizer = await loadTokenizer(MODEL);
    expect(tokenizer.decode(tokenizer.encode("Once upon a time"))).toBe("Once upon a time");
  });
});
