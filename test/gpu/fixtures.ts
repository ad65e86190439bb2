/** Models for GPU tests, fetched from the test server and opened from memory. */
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import { openCheckpoint } from "../../src/formats/open-checkpoint.ts";
import { type Gpu, openGpu } from "../../src/gpu/device.ts";
import { describeModel } from "../../src/models/registry.ts";
import type { FileSet } from "../../src/sources/byte-source.ts";
import { openFileSet } from "../../src/sources/file-set.ts";
import { createWeightMap } from "../../src/weights/weight-map.ts";

export const TALES_URL = "/demo/public/models/octavo-tales/octavo-tales-q8_0.gguf";

/** The golden results beside a folder's model. */
export interface MaiGolden {
  readonly tokens: number[];
  readonly last_logits: number[];
  readonly first_logits: number[];
  readonly greedy_next_16: number[];
  readonly routes_last_token: number[][];
}

export async function fetchJson<T>(path: string): Promise<T> {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return (await answer.json()) as T;
}

/** A model of test/fixtures/mai by its folder's name. */
export function maiFolder(name: string): FileSet {
  return openFileSet(`${location.origin}/test/fixtures/mai/${name}/`);
}

export function talesFile(): FileSet {
  return openFileSet(`${location.origin}${TALES_URL}`);
}

/** An engine on a device of its own; `gpu.destroy()` ends both. */
export async function openEngine(files: FileSet, options: EngineOptions = {}): Promise<{ engine: Engine; gpu: Gpu }> {
  const checkpoint = await openCheckpoint(files);
  const { spec, names } = describeModel(checkpoint);
  const weights = createWeightMap(checkpoint, spec, names);
  const gpu = await openGpu(navigator.gpu);
  return { engine: await Engine.create(gpu, weights, spec, options), gpu };
}
