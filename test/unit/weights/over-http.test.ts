/** The default model over HTTP, from the address to an expert: the same bytes as from memory, no more than needed. */
import { afterAll, expect, test } from "vitest";
import { openCheckpoint } from "../../../src/formats/open-checkpoint.ts";
import { describeModel } from "../../../src/models/registry.ts";
import { openFileSet } from "../../../src/sources/file-set.ts";
import { loadTokenizer } from "../../../src/tokenizer/load.ts";
import { createWeightMap } from "../../../src/weights/weight-map.ts";
import { openGgufBytes, readRepositoryFile } from "../../fixtures/files.ts";
import { serveFiles } from "../../fixtures/http-server.ts";

const NAME = "octavo-tales-q8_0.gguf";
const FOLDER = "demo/public/models/octavo-tales";
const bytes = readRepositoryFile(`${FOLDER}/${NAME}`);
const server = await serveFiles({
  [`m/${NAME}`]: bytes,
  "m/tokenizer.json": readRepositoryFile(`${FOLDER}/tokenizer.json`),
});
afterAll(() => server.close());

test("header, tokenizer and one expert cost their own bytes", async () => {
  let networkBytes = 0;
  const files = openFileSet(`${server.url}m/${NAME}`, {
    onBytes: (_, count) => {
      networkBytes += count;
    },
  });
  const checkpoint = await openCheckpoint(files);
  const { spec, names } = describeModel(checkpoint);
  const map = createWeightMap(checkpoint, spec, names);
  const headerBytes = networkBytes;
  // A header of 132 KiB costs the first piece that is loaded, the probe included.
  expect(headerBytes).toBe(256 * 1024);
  expect(server.requests.length).toBeLessThanOrEqual(2);

  const expert = await map.readExpert(3, 17);
  expect(networkBytes - headerBytes).toBe(3 * 128 * 192 * (34 / 32));
  const memory = await openGgufBytes(bytes);
  expect(await createWeightMap(memory, spec, names).readExpert(3, 17)).toEqual(expert);

  const tokenizer = await loadTokenizer(files, checkpoint);
  expect(tokenizer?.encode("Once upon a time")).toEqual([2385, 636, 264, 532]);
});
