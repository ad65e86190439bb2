import { expect, test } from "vitest";
import { requireGpu } from "../setup-gpu.ts";
import { double } from "./double.ts";

const INPUT = Float32Array.from({ length: 100 }, (_, i) => i - 50);
const EXPECTED = INPUT.map((x) => 2 * x);

test("computes in the page", async () => {
  expect(await double(await requireGpu(), INPUT)).toEqual(EXPECTED);
});

test("computes in a module worker", async () => {
  const worker = new Worker(new URL("./double.worker.ts", import.meta.url), { type: "module" });
  const answer = new Promise<Float32Array>((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
  });
  worker.postMessage(INPUT);
  expect(await answer).toEqual(EXPECTED);
  worker.terminate();
});

// The HTTP source and its tests lean on this: the dev server must answer ranges of binary fixtures with 206.
test.each(["/demo/public/models/octavo-tales/octavo-tales-q8_0.gguf", "/test/fixtures/octavo-tales/golden.json"])(
  "the test server answers a byte range of %s",
  async (url) => {
    const response = await fetch(url, { headers: { Range: "bytes=2-5" } });
    expect(response.status).toBe(206);
    expect(response.headers.get("Content-Range")).toMatch(/^bytes 2-5\/\d+$/);
    expect((await response.arrayBuffer()).byteLength).toBe(4);
  },
);
