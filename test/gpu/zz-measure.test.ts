import { expect, it } from "vitest";
import { loadModel } from "../../src/index.ts";
import { TALES_URL } from "./fixtures.ts";

it("measures", async () => {
  const model = await loadModel(TALES_URL, { cache: false });
  const starts = [
    "Once upon a time there was a little girl who",
    "The king said to his three sons,",
    '"Come with me," said the fox,',
    "In a small house at the edge of the forest lived an old woman and her cat.",
    "The sun was shining when",
  ];
  const log: string[] = [];
  let same = 0,
    total = 0,
    tokens = 0,
    maxDiff = 0,
    topDiff = 0;
  for (const [i, start] of starts.entries()) {
    for (const temperature of [0, 0.9]) {
      const one = await model.complete(start, { temperature, seed: i, max_tokens: 50, prefix_reuse: "none" });
      const text = `${start}${one.choices[0]!.text}\n\nAnd then`;
      const ask = (prefix_reuse: "all" | "exact" | "none") =>
        model.complete(text, { temperature, seed: 7 + i, max_tokens: 40, prefix_reuse });
      const all = await ask("all");
      const none = await ask("none");
      total++;
      tokens += none.usage.completion_tokens;
      if (all.choices[0]!.text === none.choices[0]!.text) same++;
      log.push(
        `${i} T${temperature}: cached ${all.usage.prompt_tokens_details.cached_tokens} of ${all.usage.prompt_tokens}, same ${all.choices[0]!.text === none.choices[0]!.text}`,
      );
      if (temperature === 0) {
        const ids = await model.encode(text);
        const a = await model.createSession();
        const cut = ids.length - 50;
        await a.prefill(ids.slice(0, cut));
        let la = new Float32Array(0) as Float32Array;
        for (const id of ids.slice(cut)) la = await a.decode(id);
        await a.rewind(0);
        const lb = await a.prefill(ids);
        la.forEach((x, j) => {
          maxDiff = Math.max(maxDiff, Math.abs(x - lb[j]!));
        });
        topDiff = Math.max(topDiff, Math.max(...lb));
        await a.dispose();
      }
    }
  }
  console.log(log.join("\n"));
  console.log(JSON.stringify({ same, total, tokens, maxDiff, topDiff }));
  expect(await model.dispose()).toEqual({});
}, 900_000);
