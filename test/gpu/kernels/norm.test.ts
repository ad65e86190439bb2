import { describe, expect, test } from "vitest";
import { norm } from "../../../src/kernels/norm.ts";
import { residualNorm } from "../../reference/norm.ts";
import { CANARY, inQuads, normals, untouched, useBench, written } from "./harness.ts";

const bench = useBench();
const KINDS = ["none", "add", "norm", "scaled"] as const;
const FACTOR = 0.22; // of the kind "scaled"

/** Random rows through the kernel and the reference. */
async function compare(kind: (typeof KINDS)[number], tokens: number, cols: number, eps: number, scale = 1) {
  const { random } = bench;
  const draw = (rows: number, deviation = 1) => normals(random, rows * cols, deviation);
  const [x, y, inputGain, outputGain] = [draw(tokens, scale), draw(tokens, 3 * scale), draw(1), draw(1)];
  const padded = Math.ceil(cols / 4) * 4;
  const [xOut, h] = [bench.canaries(tokens * padded + 4), bench.canaries(tokens * padded + 4)];
  const run = norm(bench.host(), {
    cols,
    eps,
    inputGain: bench.floats(inQuads(inputGain, cols)),
    xIn: { buffer: bench.floats(inQuads(x, cols)) },
    xOut: { buffer: xOut },
    h: { buffer: h },
    residual:
      kind === "none"
        ? undefined
        : {
            y: bench.floats(inQuads(y, cols)),
            outputGain: kind === "norm" ? bench.floats(inQuads(outputGain, cols)) : undefined,
            scale: kind === "scaled" ? FACTOR : undefined,
          },
  });
  const [xResult, hResult] = await bench.run([run(tokens)], xOut, h);
  const expected = residualNorm({
    x,
    y: kind === "none" ? null : kind === "scaled" ? Float64Array.from(y, (value) => value * FACTOR) : y,
    outputGain: kind === "norm" ? outputGain : null,
    inputGain,
    eps,
  });
  const region = { rows: tokens, cols: padded };
  // Quads as they are: padding columns must come out as zero.
  bench.agrees(written(xResult!, region), inQuads(expected.x, cols), "x", scale);
  bench.agrees(written(hResult!, region), inQuads(expected.h, cols), "h");
  if (kind === "none") expect(written(xResult!, region)).toEqual(inQuads(x, cols));
}

describe.each(KINDS)("residual: %s", (kind) => {
  test.each([
    { tokens: 1, cols: 1 },
    { tokens: 1, cols: 3 },
    { tokens: 3, cols: 4 },
    { tokens: 2, cols: 100 },
    { tokens: 1, cols: 256 },
    { tokens: 5, cols: 257 },
    { tokens: 1, cols: 1030 },
  ])("$tokens x $cols", ({ tokens, cols }) => compare(kind, tokens, cols, 1e-6));

  test("a random shape", () => compare(kind, bench.random.int(1, 20), bench.random.int(1, 600), 1e-5));

  test("eps counts where the stream is small", () => compare(kind, 2, 50, 1e-3, 1e-2));

  test("no token writes nothing", async () => {
    const [xOut, h, y] = [bench.canaries(8), bench.canaries(8), bench.floats(new Float32Array(8))];
    const run = norm(bench.host(), {
      cols: 8,
      eps: 1e-6,
      inputGain: bench.floats(new Float32Array(8)),
      xIn: { buffer: bench.floats(new Float32Array(8)) },
      xOut: { buffer: xOut },
      h: { buffer: h },
      residual: kind === "none" ? undefined : { y, outputGain: kind === "norm" ? y : undefined },
    });
    for (const output of await bench.run([run(0)], xOut, h)) untouched(output);
  });
});

test("rows of zeros give zeros, not NaN", async () => {
  const [xOut, h] = [bench.canaries(8), bench.canaries(8)];
  const zeros = bench.floats(new Float32Array(8));
  const site = { xIn: { buffer: zeros }, xOut: { buffer: xOut }, h: { buffer: h }, residual: undefined };
  const run = norm(bench.host(), { cols: 8, eps: 1e-6, inputGain: bench.floats(new Float32Array(8).fill(1)), ...site });
  for (const output of await bench.run([run(1)], xOut, h)) expect([...output]).toEqual(new Array(8).fill(0));
});

test("streams bound at an offset: the rows in front stay as they were", async () => {
  const { random } = bench;
  const cols = 60;
  const [x, gain] = [normals(random, cols), normals(random, cols)];
  const [xOut, h] = [bench.canaries(192), bench.canaries(192)]; // rows of 64 floats, as kept rows are
  const kept = (buffer: typeof xOut) => ({ buffer, offset: 256, bytes: 256 });
  const site = { inputGain: bench.floats(gain), xIn: { buffer: bench.floats(x) }, xOut: kept(xOut), h: kept(h) };
  const run = norm(bench.host(), { cols, eps: 1e-6, ...site, residual: undefined });
  const [xResult, hResult] = await bench.run([run(1)], xOut, h);
  const region = { rows: 1, cols, at: 64 };
  expect(written(xResult!, region)).toEqual(x);
  bench.agrees(written(hResult!, region), residualNorm({ x, inputGain: gain, eps: 1e-6 }).h);
  expect(xResult![63]).toBe(CANARY);
});
