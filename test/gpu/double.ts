/** The smallest useful compute job, to prove that the GPU tier computes: doubles numbers on the given adapter. */
const SHADER = `
@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < arrayLength(&data)) { data[id.x] *= 2.0; }
}`;

export async function double(adapter: GPUAdapter, input: Float32Array<ArrayBuffer>): Promise<Float32Array> {
  const device = await adapter.requestDevice();
  const usage = GPUBufferUsage;
  const data = device.createBuffer({ size: input.byteLength, usage: usage.STORAGE | usage.COPY_SRC | usage.COPY_DST });
  const staging = device.createBuffer({ size: input.byteLength, usage: usage.MAP_READ | usage.COPY_DST });
  device.queue.writeBuffer(data, 0, input);
  const module = device.createShaderModule({ code: SHADER });
  const pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
  const bindGroup = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: 0, resource: { buffer: data } }],
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  pass.dispatchWorkgroups(Math.ceil(input.length / 64));
  pass.end();
  encoder.copyBufferToBuffer(data, 0, staging, 0, input.byteLength);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const result = new Float32Array(staging.getMappedRange().slice(0));
  device.destroy();
  return result;
}
