/**
 * The reference against stored results of independent float64 numpy programs: the five random MAI-shaped models, and
 * the trained default model. Both sides compute in float64 and differ only in the order of sums, measured at an NMSE
 * of 2e-29 at most; the bound leaves room for other machines' exp and cos, and is far below any error of formula.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { assertClose } from "../../reference/compare.ts";
import { createReference } from "../../reference/forward.ts";
import { loadGguf, loadSafetensors, maiModel } from "../../reference/load.ts";

const MAX_NMSE = 1e-24;

const bytesOf = (path: string): Uint8Array => new Uint8Array(readFileSync(new URL(`../../${path}`, import.meta.url)));
const jsonOf = (path: string): unknown => JSON.parse(new TextDecoder().decode(bytesOf(path)));

interface Golden {
  readonly tokens: readonly number[];
  readonly last_logits: readonly number[];
  readonly first_logits: readonly number[];
  readonly greedy_next_16: readonly number[];
  readonly routes_last_token: readonly (readonly number[])[];
}

describe.each(["base-f32", "norm-topk-bf16", "odd-f32", "long-f16", "one-token-f32"])("mai/%s", (folder) => {
  const path = `fixtures/mai/${folder}`;
  const golden = jsonOf(`${path}/golden.json`) as Golden;
  const model = maiModel(loadSafetensors(bytesOf(`${path}/config.json`), bytesOf(`${path}/model.safetensors`)));
  const reference = createReference(model.spec, model.tensor);

  test("first logits", () => {
    assertClose(reference.forward(golden.tokens.slice(0, 1)).lastLogits, golden.first_logits, MAX_NMSE);
  });

  test("last logits, routes and the greedy continuation", { timeout: 60_000 }, () => {
    const { lastLogits, routes } = reference.forward(golden.tokens);
    assertClose(lastLogits, golden.last_logits, MAX_NMSE);
    expect(routes.map((route) => route.expertIds)).toEqual(golden.routes_last_token);
    expect(reference.greedy(lastLogits, 16)).toEqual(golden.greedy_next_16);
  });

  test("token by token equals all at once", { timeout: 60_000 }, () => {
    const tokens = golden.tokens.slice(0, 70);
    const { allLogits, routes } = reference.forward(tokens, { allLogits: true });
    const vocab = model.spec.vocabSize;
    let result = reference.forward(tokens.slice(0, 1));
    assertClose(result.lastLogits, allLogits!.slice(0, vocab), MAX_NMSE);
    for (let t = 1; t < tokens.length; t++) {
      result = reference.step(tokens[t]!);
      assertClose(result.lastLogits, allLogits!.slice(t * vocab, (t + 1) * vocab), MAX_NMSE, `token ${t}`);
    }
    expect(result.routes.map((route) => route.expertIds)).toEqual(routes.map((route) => route.expertIds));
  });
});

interface TalesPrompt {
  readonly tokens: readonly number[];
  readonly last_logits: readonly number[];
  readonly greedy_32: readonly number[];
  readonly routes_last_token: readonly (readonly number[])[];
}

describe("octavo-tales", () => {
  const model = maiModel(loadGguf(bytesOf("../demo/public/models/octavo-tales/octavo-tales-q8_0.gguf")));
  const { prompts } = jsonOf("fixtures/octavo-tales/golden.json") as { readonly prompts: readonly TalesPrompt[] };
  const reference = createReference(model.spec, model.tensor);

  test.each(prompts.map((prompt, i) => [i, prompt] as const))("prompt %i", { timeout: 60_000 }, (_, prompt) => {
    const { lastLogits, routes } = reference.forward(prompt.tokens);
    assertClose(lastLogits, prompt.last_logits, MAX_NMSE);
    expect(routes.map((route) => route.expertIds)).toEqual(prompt.routes_last_token);
    expect(reference.greedy(lastLogits, 32)).toEqual(prompt.greedy_32);
  });
});
