/** The command line of virtual checkpoints, and the command itself as a process. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, test, vi } from "vitest";
import { inspect } from "../../../scripts/inspect-checkpoint.ts";
import { repositoryPath } from "../../fixtures/files.ts";
import { parseOptions } from "../../virtual/options.ts";
import { serveArguments } from "../../virtual/serve.ts";

vi.setConfig({ testTimeout: 60_000 }); // a Node process and the TypeScript it translates, on a busy machine

const TINY = ["--set", "hidden=128,latent=64,inner=96,dense=128,experts=16,vocab=512"];

describe("arguments", () => {
  test("what is wanted, where and how", () => {
    const { checkpoint, port, link, faults, seed } = parseOptions([
      ...["--rung", "l6", "--type", "f16", "--format", "safetensors", "--seed", "9", "--port", "0", "--latency", "5"],
      ...["--faults", "cut=0.5", "--vocab", "none", "--shard-bytes", "500000", ...TINY],
    ]);
    expect([...checkpoint.files.keys()]).toContain("model.safetensors.index.json");
    expect([...checkpoint.files.keys()]).not.toContain("tokenizer.json");
    expect([port, link, seed]).toEqual([0, { latencyMs: 5, bytesPerSecond: Number.POSITIVE_INFINITY }, 9]);
    expect(faults?.rates).toEqual({ cut: 0.5 });
  });

  test("a family at a size of its own", () => {
    const { checkpoint } = parseOptions(["--family", "olmoe", "--type", "q4_0", "--set", "layers=16,experts=64"]);
    expect([...checkpoint.files.keys()]).toEqual(["virtual-olmoe.gguf"]);
  });

  const wrong = [
    [],
    ["--rung", "L13"],
    ["--rung", "L6", "--family", "olmoe"],
    ["--rung", "L6", "--type", "q9"],
    ["--rung", "L6", "--format", "zip"],
    ["--rung", "L6", "--set", "wings=2"],
    ["--rung", "L6", "--set", "layers=many"],
    ["--rung", "L6", "--vocab", "big"],
    ["--rung", "L6", "--seed", "-1"],
    ["--rung", "L6", "--faults", "rain=1"],
    ["--rung", "L6", "--format", "safetensors", "--type", "q4_0"],
    ["--wrong", "1"],
  ];
  test.each(wrong.map((args) => [args]))("%j is refused with the usage", (args) => {
    const parse = () => parseOptions(args);
    expect(parse).toThrow(expect.objectContaining({ name: "UsageError" }));
    expect(parse).toThrow(/npm run serve:virtual/);
  });
});

test("a served checkpoint is inspected like any other", async () => {
  const server = await serveArguments(["--rung", "L6", "--type", "mxfp4", ...TINY]);
  try {
    const text = await inspect([server.modelUrl], ".");
    expect(text).toContain("16 a layer, top 8");
    expect(text).toContain("present, GGUF metadata");
    expect(text).toMatch(/MXFP4 \d/);
    expect(server.sentBytes).toBeLessThan(server.modelBytes);
  } finally {
    await server.close();
  }
});

test("the command says what it serves, and where", async () => {
  const script = repositoryPath("scripts/serve-virtual.mjs");
  const server = spawn(process.execPath, [script, "--rung", "L6", "--port", "0", ...TINY], { cwd: repositoryPath("") });
  try {
    const [line] = await once(server.stdout, "data");
    const [, address = ""] = /^(http:\/\/127\.0\.0\.1:\d+\/mai-l6-q4_0\.gguf) /.exec(String(line)) ?? [];
    const answer = await fetch(address, { headers: { range: "bytes=0-3" } });
    expect([answer.status, await answer.text()]).toEqual([206, "GGUF"]);
  } finally {
    server.kill();
  }
});
