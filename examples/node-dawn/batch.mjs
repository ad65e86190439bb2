// Continues every line of a file and prints one line of JSON for each:
//   node batch.mjs MODEL PROMPTS [TOKENS]
// MODEL: a path, an address, or owner/name on a hub.
import { readFile } from "node:fs/promises";
import { loadModel } from "octavo/node";
import { create } from "webgpu";

const [source, prompts, maxTokens = "40"] = process.argv.slice(2);
if (!source || !prompts) throw new Error("node batch.mjs MODEL PROMPTS [TOKENS]");

const model = await loadModel(source, { gpu: create([]) });
console.error(`${model.spec.name} on ${model.adapter.name}`);
try {
  const session = await model.createSession();
  for (const prompt of (await readFile(prompts, "utf8")).split("\n").filter(Boolean)) {
    await session.rewind(0);
    await session.prefill(await model.encode(prompt));
    const ids = [];
    for await (const id of session.generate({ maxTokens: Number(maxTokens) })) ids.push(id);
    console.log(JSON.stringify({ prompt, ids, text: await model.decode(ids) }));
  }
} finally {
  await model.dispose();
}
