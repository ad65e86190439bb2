/** A GPU that keeps what a test must not miss: errors that nobody caught, and what its devices compiled. */

export interface WatchedGpu {
  /** To open a device with. */
  readonly gpu: GPU;
  /** Messages of errors outside every error scope, which would otherwise end as a warning on the console. */
  readonly errors: string[];
  /** Text of every shader module made. */
  readonly shaders: string[];
  /** Number of compute pipelines made. */
  readonly pipelines: () => number;
}

export function watchGpu(gpu: GPU): WatchedGpu {
  const errors: string[] = [];
  const shaders: string[] = [];
  let pipelines = 0;
  const watchDevice = (device: GPUDevice): GPUDevice => {
    device.addEventListener("uncapturederror", ({ error }) => errors.push(error.message));
    const createShaderModule = device.createShaderModule.bind(device);
    device.createShaderModule = (descriptor) => {
      shaders.push(descriptor.code);
      return createShaderModule(descriptor);
    };
    const createComputePipeline = device.createComputePipeline.bind(device);
    device.createComputePipeline = (descriptor) => {
      pipelines += 1;
      return createComputePipeline(descriptor);
    };
    const createComputePipelineAsync = device.createComputePipelineAsync.bind(device);
    device.createComputePipelineAsync = (descriptor) => {
      pipelines += 1;
      return createComputePipelineAsync(descriptor);
    };
    return device;
  };
  const requestAdapter: GPU["requestAdapter"] = async (options) => {
    const adapter = await gpu.requestAdapter(options);
    if (!adapter) return null;
    const requestDevice = adapter.requestDevice.bind(adapter);
    adapter.requestDevice = async (descriptor) => watchDevice(await requestDevice(descriptor));
    return adapter;
  };
  return { gpu: { requestAdapter } as GPU, errors, shaders, pipelines: () => pipelines };
}
