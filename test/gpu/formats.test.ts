/** One model in many containers: equal values give equal bits, and all of them agree with float64. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCheckpoint } from "../../src/formats/open-checkpoint.ts";
import { loadModel } from "../../src/index.ts";
import { hfNames } from "../../src/models/mai-names.ts";
import type { FileSet } from "../../src/sources/byte-source.ts";
import { openFileSet } from "../../src/sources/file-set.ts";
import { expectedDense, expertShape } from "../../src/weights/expected.ts";
import { hfExpertName, maiGgufParts, maiGgufTwin } from "../fixtures/mai-twin.ts";
import { encodeTensor, type FixtureTensor, makeGguf } from "../fixtures/make-gguf.ts";
import { makeSafetensors } from "../fixtures/make-safetensors.ts";
import { createRandom, nmse } from "../reference/compare.ts";
import { createReference } from "../reference/forward.ts";
import { loadGguf, loadSafetensors, maiModel } from "../reference/load.ts";
import {
  type Answer,
  answer,
  bitDifference,
  budgetFor,
  difference,
  openModel,
  type SharedDevice,
  shareDevice,
} from "./engines.ts";
import { fetchJson, maiFolder, TALES_URL, talesFile } from "./fixtures.ts";
import { fetchBytes, fetchFolder } from "./service.ts";

const CONTEXT = 64;
const STEPS = 6;
const PROMPT = [5, 266, 17, 90, 201, 44, 44, 8, 130, 299, 0, 61];
// f32 sums over a few hundred terms against float64; a wrong element or a flipped route shows as 1e-4 and more.
const BOUND = 1e-9;

type Bytes = Uint8Array<ArrayBuffer>;

let device: SharedDevice;
beforeAll(async () => {
  device = await shareDevice();
});
afterAll(() => expect(device.complaints).toEqual([]));

async function answerOf(files: FileSet, prompt: readonly number[] = PROMPT, steps = STEPS): Promise<Answer> {
  const { engine } = await device.engine(await openModel(files), { contextLength: CONTEXT });
  const result = await answer(await engine.createSession(), prompt, steps);
  engine.dispose();
  return result;
}

const gguf = (bytes: Bytes, name = "model.gguf"): FileSet => openFileSet([{ name, bytes }]);
const floats = (bits: Uint32Array): Float32Array => new Float32Array(bits.buffer, bits.byteOffset, bits.length);

describe("a GGUF twin", () => {
  it.each([
    ["base-f32", "F32"],
    ["norm-topk-bf16", "BF16"],
    ["long-f16", "F16"],
  ] as const)("of %s in %s gives the same bits", async (name, dtype) => {
    const twin = await maiGgufTwin(await openCheckpoint(maiFolder(name)), dtype);
    expect(difference(await answerOf(gguf(twin)), await answerOf(maiFolder(name)))).toBe("");
  });

  it("in Q8_0 gives the bits of the same numbers in F32", async () => {
    const parts = await maiGgufParts(await openCheckpoint(maiFolder("base-f32")), "Q8_0");
    expect(new Set(parts.tensors.map(({ dtype }) => dtype))).toEqual(new Set(["F32", "F16", "Q8_0"]));
    const quantised = makeGguf(parts);
    const values = loadGguf(quantised).tensors;
    const tensors = parts.tensors.map((tensor): FixtureTensor => {
      const { data } = values.get(tensor.name)!;
      return { ...tensor, dtype: "F32", bytes: encodeTensor("F32", data) };
    });
    const plain = await answerOf(gguf(makeGguf({ ...parts, tensors })));
    const stored = await answerOf(gguf(quantised));
    const worst = Math.max(...plain.bits.map((bits, i) => nmse(floats(stored.bits[i]!), floats(bits))));
    console.log(
      `Q8_0 against F32: NMSE at most ${worst.toExponential(1)}, ${difference(stored, plain) || "same bits"}`,
    );
    expect(worst).toBeLessThanOrEqual(1e-10);
    expect(stored.ids).toEqual(plain.ids);
    const { spec, tensor } = maiModel(loadGguf(quantised));
    const { lastLogits } = createReference(spec, tensor).forward(PROMPT);
    expect(nmse(floats(stored.bits[0]!), lastLogits)).toBeLessThan(BOUND);
  });
});

describe("the same folder", () => {
  let folder: Record<string, Bytes>;
  let expected: Answer;
  beforeAll(async () => {
    folder = await fetchFolder("base-f32");
    expected = await answerOf(maiFolder("base-f32"));
  });

  const memory = () => Object.entries(folder).map(([name, bytes]) => ({ name, bytes }));
  const picked = () => memory().map(({ name, bytes }) => new File([bytes], name));

  it("from memory, from picked files in any order, from an address without a slash gives the same bits", async () => {
    const sources = [
      openFileSet(memory()),
      openFileSet(picked()),
      openFileSet(picked().reverse()),
      openFileSet(`${location.origin}/test/fixtures/mai/base-f32`),
    ];
    for (const files of sources) expect(difference(await answerOf(files), expected), files.label).toBe("");
  });

  it("cut into shards with an index gives the same bits", async () => {
    const checkpoint = await openCheckpoint(maiFolder("base-f32"));
    const tensors = await Promise.all(
      [...checkpoint.tensors.values()].map(async ({ name, dtype, shape, shard, offset, byteLength }) => {
        const bytes = await checkpoint.shards[shard]!.read(offset, byteLength);
        return { name, dtype, shape, bytes };
      }),
    );
    const names = [1, 2, 3].map((i) => `model-0000${i}-of-00003.safetensors`);
    const shards = names.map((_, shard) => tensors.filter((_tensor, i) => i % 3 === shard)); // layers lie across shards
    const weightMap = Object.fromEntries(shards.flatMap((list, i) => list.map(({ name }) => [name, names[i]])));
    const index = new Uint8Array(new TextEncoder().encode(JSON.stringify({ metadata: {}, weight_map: weightMap })));
    const files = [
      { name: "config.json", bytes: folder["config.json"]! },
      { name: "model.safetensors.index.json", bytes: index },
      ...shards.map((list, i) => ({ name: names[i]!, bytes: makeSafetensors(list) })),
    ];
    expect(difference(await answerOf(openFileSet(files)), expected)).toBe("");
  });

  it("picked, through the public door, gives the same bits", async () => {
    const model = await loadModel(picked(), { contextLength: CONTEXT });
    const session = await model.createSession();
    expect(bitDifference(await session.prefill(PROMPT), expected.bits[0]!)).toBe("");
    expect(bitDifference(await session.decode(expected.ids[0]!), expected.bits[1]!)).toBe("");
    expect((await model.stats()).fileBytes).toBeGreaterThan(0);
    expect(await model.dispose()).toEqual({});
  });
});

interface TalesGolden {
  readonly prompts: readonly {
    readonly prompt: string;
    readonly tokens: number[];
    readonly last_logits: number[];
    readonly greedy_32: number[];
    readonly greedy_text: string;
    readonly routes_last_token: number[][];
  }[];
}

describe("the default model", () => {
  let golden: TalesGolden;
  beforeAll(async () => {
    golden = await fetchJson<TalesGolden>("/test/fixtures/octavo-tales/golden.json");
  });

  it.each([1, 0.25])("agrees with float64 with %d of its experts: logits, greedy ids, routes", async (fraction) => {
    const model = await openModel(talesFile());
    const whole = await device.engine(model, { contextLength: CONTEXT });
    const gpuBudgetBytes = budgetFor(whole.engine.memory(), fraction);
    whole.engine.dispose();
    const { engine } = await device.engine(model, { contextLength: CONTEXT, gpuBudgetBytes });
    const session = await engine.createSession();
    for (const { prompt, tokens, last_logits, greedy_32, routes_last_token } of golden.prompts) {
      session.rewind(0);
      engine.startTrace();
      const run = await answer(session, tokens, fraction < 1 ? 8 : 16); // paging is slow on a software adapter
      const error = nmse(floats(run.bits[0]!), last_logits);
      console.log(`"${prompt}" at ${fraction}: NMSE ${error.toExponential(1)}`);
      expect(error).toBeLessThanOrEqual(BOUND);
      expect(run.ids).toEqual(greedy_32.slice(0, run.ids.length));
      const rows = engine.takeTrace().filter(([, , step]) => step === tokens.length - 1);
      const routes = [1, 3, 5].map((layer) => rows.filter((row) => row[3] === layer).map((row) => row[5]));
      expect(routes).toEqual(routes_last_token);
    }
    expect(engine.stats().gpuBytesPeak).toBeLessThanOrEqual(gpuBudgetBytes);
    engine.dispose();
  });

  it("turns text into ids and back, from an address and from a picked file", async () => {
    const file = new File([await fetchBytes(TALES_URL)], "tales.gguf");
    for (const source of [`${location.origin}${TALES_URL}`, file]) {
      const model = await loadModel(source, { contextLength: CONTEXT });
      for (const { prompt, tokens, greedy_32, greedy_text } of golden.prompts) {
        expect(await model.encode(prompt)).toEqual(tokens);
        expect(await model.decode(tokens)).toBe(prompt);
        expect(await model.decode(greedy_32)).toBe(greedy_text);
      }
      expect(await model.dispose()).toEqual({});
    }
  });
});

const ODD = {
  architectures: ["MaiForCausalLM"],
  model_type: "mai",
  hidden_size: 70,
  num_attention_heads: 3,
  num_key_value_heads: 1,
  head_dim: 10,
  vocab_size: 257,
  intermediate_size: 45,
  moe_latent_size: 50,
  moe_intermediate_size: 33,
  num_experts: 5,
  norm_topk_prob: true,
  sliding_window: 5,
  rope_theta: 500,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 4096,
  eos_token_id: 0,
};

type Layers = readonly ("local sparse" | "local dense" | "global sparse" | "global dense")[];

/** A folder of random weights for `config`. */
function randomFolder(layers: Layers, topK: number, tied: boolean): { config: Bytes; weights: Bytes } {
  const config = {
    ...ODD,
    num_hidden_layers: layers.length,
    layer_types: layers.map((layer) => (layer.startsWith("local") ? "sliding_attention" : "full_attention")),
    mlp_layer_types: layers.map((layer) => (layer.endsWith("sparse") ? "sparse" : "dense")),
    num_experts_per_tok: topK,
    routed_scaling_factor: 1.75,
    tie_word_embeddings: tied,
  };
  const { spec } = maiModel({ format: "safetensors", config, tensors: new Map() });
  const random = createRandom();
  const tensors: FixtureTensor[] = [];
  const add = (name: string, shape: readonly number[]) => {
    const [rows = 1, cols] = shape;
    const values = random.randomNormals(rows * (cols ?? 1), cols === undefined ? 0.2 : 1 / Math.sqrt(cols));
    const stored = Float32Array.from(values, (value) => (cols === undefined ? 1 + value : value));
    tensors.push({ name, dtype: "F32", shape, bytes: encodeTensor("F32", stored) });
  };
  for (const { ref, shape } of expectedDense(spec)) {
    add(typeof ref === "string" ? hfNames.model(ref) : hfNames.layer(ref.layer, ref.name), shape);
  }
  for (const [layer, { mlp }] of spec.layers.entries()) {
    if (mlp?.kind !== "moe") continue;
    for (let expert = 0; expert < mlp.numExperts; expert++) {
      for (const matrix of ["gate", "up", "down"] as const) {
        add(hfExpertName(layer, expert, matrix), expertShape(mlp, matrix, spec.hiddenSize));
      }
    }
  }
  return {
    config: new Uint8Array(new TextEncoder().encode(JSON.stringify(config))),
    weights: makeSafetensors(tensors),
  };
}

describe("odd shapes against float64", () => {
  const MIXED: Layers = ["local sparse", "global dense", "local dense", "global sparse"];
  it.each<[string, Layers, number, boolean]>([
    ["four layers, top-1 of 5", MIXED, 1, true],
    ["four layers, all 5 of 5", MIXED, 5, false],
    ["one sparse layer", ["local sparse"], 2, false],
    ["one dense layer, no experts at all", ["global dense"], 1, true],
  ])("%s", async (_, layers, topK, tied) => {
    const { config, weights } = randomFolder(layers, topK, tied);
    const { spec, tensor } = maiModel(loadSafetensors(config, weights));
    const reference = createReference(spec, tensor);
    const files = openFileSet([
      { name: "config.json", bytes: config },
      { name: "model.safetensors", bytes: weights },
    ]);
    const { engine } = await device.engine(await openModel(files), { contextLength: 40, prefillChunk: 7 });
    expect(engine.spec.layers).toEqual(spec.layers);
    const session = await engine.createSession();
    engine.startTrace();
    const prompt = Array.from({ length: 17 }, (_unused, i) => (i * 37 + 250) % 257);
    let expected = reference.forward(prompt);
    let logits = await session.prefill(prompt);
    const errors = [nmse(logits, expected.lastLogits)];
    for (let id = 0; id < 4; id++) {
      expected = reference.step(id * 64);
      logits = await session.decode(id * 64);
      errors.push(nmse(logits, expected.lastLogits));
      const rows = engine.takeTrace().filter(([, , step]) => step === prompt.length + id);
      expect(expected.routes.flatMap(({ expertIds }) => expertIds)).toEqual(rows.map((row) => row[5]));
      engine.startTrace();
    }
    console.log(`NMSE at most ${Math.max(...errors).toExponential(1)}`);
    expect(Math.max(...errors)).toBeLessThan(BOUND);
    engine.dispose();
  });
});
