/** A random model must still behave like one: experts vary from token to token, unequally often, and logits are sane. */
import { expect, test } from "vitest";
import { createReference } from "../../reference/forward.ts";
import { loadGguf, maiModel } from "../../reference/load.ts";
import { ladderCheckpoint } from "../../virtual/checkpoint.ts";
import { TINY } from "./tiny.ts";

const TOKENS = 40;
const { experts, topK, vocab } = TINY;

test("routing and logits of a small rung, in float64", () => {
  const { files, entry = "" } = ladderCheckpoint({ rung: "L6", type: "F32", container: "gguf", set: TINY });
  const file = files.get(entry)!;
  const { spec, tensor } = maiModel(loadGguf(file.read(0, file.size)));
  const model = createReference(spec, tensor);
  const uses = Array.from({ length: 3 }, () => new Array<number>(experts).fill(0));
  const repeated: number[] = [];
  let before = model.forward([7]);
  for (let i = 0; i < TOKENS; i++) {
    const now = model.step((i * 97 + 13) % (vocab - 20));
    now.routes.forEach(({ expertIds }, moe) => {
      for (const expert of expertIds) uses[moe]![expert]! += 1;
      const last = before.routes[moe]!.expertIds;
      repeated.push(expertIds.filter((expert) => last.includes(expert)).length / topK);
    });
    before = now;
  }
  const share = repeated.reduce((sum, value) => sum + value) / repeated.length;
  expect(share).toBeGreaterThan(1.3 * (topK / experts)); // what independent draws would repeat
  expect(share).toBeLessThan(0.6);
  for (const counts of uses) {
    const sorted = [...counts].sort((a, b) => b - a);
    const top = sorted.slice(0, experts / 4).reduce((sum, count) => sum + count) / (TOKENS * topK);
    expect(sorted.filter((count) => count > 0).length).toBeGreaterThan(experts * 0.6);
    expect(top).toBeGreaterThan(0.4); // of an even spread: 0.25, and some by chance
    expect(top).toBeLessThan(0.8);
  }
  const logits = before.lastLogits;
  const deviation = Math.sqrt(logits.reduce((sum, x) => sum + x * x, 0) / logits.length);
  expect(deviation).toBeGreaterThan(1);
  expect(deviation).toBeLessThan(4);
});
