import { spawnSync } from "node:child_process";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { inspect } from "../../../scripts/inspect-checkpoint.ts";
import { FormatError, SourceError, UnsupportedError, UsageError } from "../../../src/errors.ts";
import { localFileSet } from "../../../src/node/local-files.ts";
import { readRepositoryFile, repositoryPath } from "../../fixtures/files.ts";
import { serveFiles } from "../../fixtures/http-server.ts";
import { makeGguf } from "../../fixtures/make-gguf.ts";

const START_MS = 60_000; // a Node process and the TypeScript it translates, on a busy machine
const MODEL = "demo/public/models/octavo-tales/octavo-tales-q8_0.gguf";
const ROOT = repositoryPath("");

const folder = await mkdtemp(join(tmpdir(), "octavo-inspect-"));
afterAll(() => rm(folder, { recursive: true }));

function run(...args: string[]) {
  const script = repositoryPath("scripts/inspect.mjs");
  return spawnSync(process.execPath, [script, ...args], { cwd: ROOT, encoding: "utf8" });
}

describe("the command", () => {
  test("tells what the built-in model is", { timeout: START_MS }, () => {
    const { status, stdout, stderr } = run(MODEL);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("17.2M total, 4.8M active per token");
    expect(stdout).toContain("64 a layer, top 8");
    expect(stdout).toContain("present, tokenizer.json");
    expect(stdout).toContain("storage bindings of 128 MiB, which every WebGPU device has");
  });

  test("a broken file: the error's name and text, exit code 1", { timeout: START_MS }, async () => {
    const path = join(folder, "broken.gguf");
    await writeFile(path, "no checkpoint");
    const { status, stdout, stderr } = run(path, "--json");
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^FormatError: .*broken\.gguf, byte 0: expected/);
  });
});

describe("inspect", () => {
  test("an address and a file give the same facts, from a fraction of the bytes", async () => {
    const bytes = readRepositoryFile(MODEL);
    const server = await serveFiles({ "m/tales.gguf": bytes });
    try {
      const remote = JSON.parse(await inspect([`${server.url}m/tales.gguf`, "--json", "--context", "100"], ROOT));
      const local = JSON.parse(await inspect([MODEL, "--json", "--context", "100"], ROOT));
      expect(remote.bytesRead).toBeLessThan(bytes.length / 10);
      expect(local.bytesRead).toBeLessThan(bytes.length / 10);
      const own = { source: "", bytesRead: 0, tokenizer: null };
      expect({ ...remote, ...own }).toEqual({ ...local, ...own });
      expect([local.tokenizer, local.memory.contextLength]).toEqual(["tokenizer.json", 100]);
      expect(remote.tokenizer).not.toBe("tokenizer.json");
    } finally {
      await server.close();
    }
  });

  test("a folder of safetensors, without a tokenizer", async () => {
    const text = await inspect(["test/fixtures/mai/long-f16"], ROOT);
    expect(text).toContain("safetensors, 1 file");
    expect(text).toContain("none: the model runs on token ids");
  });

  test("larger bindings are an option", async () => {
    const { memory } = JSON.parse(await inspect(["test/fixtures/mai/base-f32", "--json", "--binding", "256"], ROOT));
    expect(memory.maxBindingBytes).toBe(256 * 2 ** 20);
  });

  test("what is not supported, not there or not understood", async () => {
    await writeFile(join(folder, "other.gguf"), makeGguf({ metadata: { "general.architecture": "other" } }));
    await expect(inspect(["other.gguf"], folder)).rejects.toThrow(UnsupportedError);
    await expect(inspect(["nowhere"], folder)).rejects.toThrow(SourceError);
    await expect(inspect(["test"], ROOT)).rejects.toThrow(FormatError);
    for (const args of [
      [],
      ["a", "b"],
      ["--wrong"],
      [MODEL, "--context", "0"],
      [MODEL, "--context=x"],
      ["README.md"],
    ]) {
      await expect(inspect(args, ROOT), args.join(" ")).rejects.toThrow(UsageError);
    }
  });
});

test("a file of more than 4 GiB is read where it is asked for", async () => {
  const path = join(folder, "large.gguf");
  const size = 5 * 2 ** 30;
  const file = await open(path, "w");
  await file.write(Uint8Array.of(1, 2, 3, 4), 0, 4, size - 4); // a hole, then these
  await file.close();
  let bytesRead = 0;
  const count = (_: string, bytes: number): void => {
    bytesRead += bytes;
  };
  const source = await (await localFileSet(path, { onBytes: count })).open("large.gguf");
  expect(await source?.size()).toBe(size);
  expect(await source?.read(size - 3, 3)).toEqual(Uint8Array.of(2, 3, 4));
  expect(bytesRead).toBe(3);
  await expect(source?.read(size - 3, 4)).rejects.toThrow(SourceError);
});
