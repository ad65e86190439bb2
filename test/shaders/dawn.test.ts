import { expect, test } from "vitest";
import { compileDevice, compileErrors } from "./dawn.ts";

const GOOD = `@group(0) @binding(0) var<storage, read_write> x: array<f32>;
override SIZE: u32 = 64;
@compute @workgroup_size(SIZE) fn main(@builtin(global_invocation_id) id: vec3u) { x[id.x] = 1; }`;

test("a sound shader compiles, also into a pipeline", async () => {
  const device = await compileDevice();
  expect(await compileErrors(device, GOOD)).toEqual([]);
  const compute = { module: device.createShaderModule({ code: GOOD }), constants: { SIZE: 32 } };
  await device.createComputePipelineAsync({ layout: "auto", compute });
});

test("an error is told with line and column", async () => {
  const device = await compileDevice();
  expect(await compileErrors(device, GOOD.replace("x[id.x]", "y[id.x]"))).toEqual([
    expect.stringMatching(/^3:\d+ .*unresolved value 'y'/),
  ]);
});

test("a pipeline beyond the default limits is refused", async () => {
  const device = await compileDevice();
  const compute = { module: device.createShaderModule({ code: GOOD }), constants: { SIZE: 512 } };
  await expect(device.createComputePipelineAsync({ layout: "auto", compute })).rejects.toThrow();
});

test("optional features are there to compile against", async () => {
  const device = await compileDevice(["shader-f16", "subgroups"]);
  const code = "enable f16; enable subgroups; @compute @workgroup_size(4) fn main() { _ = subgroupAdd(f16(1)); }";
  expect(await compileErrors(device, code)).toEqual([]);
});
