/** A `navigator.gpu` whose devices a test can destroy at a chosen submission, and whose memory it can end. */

export interface BreakableGpu {
  readonly gpu: GPU;
  /** Devices given out so far. */
  readonly devices: readonly GPUDevice[];
  /** Submissions to all of them. */
  submissions(): number;
  /** Destroys the device of now, as a driver that resets does: without a word to anyone but the browser. */
  breakNow(): void;
  /** Destroys it right after so many more submissions. */
  breakAfter(submissions: number): void;
  /** Refuses every buffer that would bring the live ones above `bytes`, where somebody asks whether it was. */
  limitMemory(bytes: number): void;
  /** What the devices complained about: nothing, in a sound run. */
  readonly complaints: readonly string[];
}

export async function breakableGpu(): Promise<BreakableGpu> {
  const devices: GPUDevice[] = [];
  const complaints: string[] = [];
  let [submissions, until, limit, live] = [0, -1, Number.POSITIVE_INFINITY, 0];
  const breakNow = () => devices.at(-1)?.destroy();

  const rig = (device: GPUDevice): GPUDevice => {
    live = 0;
    const submit = device.queue.submit.bind(device.queue);
    device.queue.submit = (buffers) => {
      submit(buffers);
      submissions += 1;
      until -= 1;
      if (until === 0) device.destroy();
    };
    const createBuffer = device.createBuffer.bind(device);
    const refused = new WeakSet<object>();
    const scopes: { readonly filter: GPUErrorFilter; refused: boolean }[] = [];
    device.createBuffer = (wanted) => {
      const scope = scopes.findLast(({ filter }) => filter === "out-of-memory");
      if (scope && live + wanted.size > limit) {
        scope.refused = true;
        const stub = createBuffer({ ...wanted, size: 16 });
        refused.add(stub);
        return stub;
      }
      live += wanted.size;
      const buffer = createBuffer(wanted);
      const destroy = buffer.destroy.bind(buffer);
      let there = true;
      buffer.destroy = () => {
        if (there) live -= wanted.size;
        there = false;
        destroy();
      };
      return buffer;
    };
    const [push, pop] = [device.pushErrorScope.bind(device), device.popErrorScope.bind(device)];
    device.pushErrorScope = (filter) => {
      scopes.push({ filter, refused: false });
      push(filter);
    };
    device.popErrorScope = async () => {
      const scope = scopes.pop();
      const error = await pop();
      return scope?.refused ? ({ message: "no memory left." } as GPUError) : error;
    };
    device.addEventListener("uncapturederror", ({ error }) => complaints.push(error.message));
    devices.push(device);
    return device;
  };

  const gpu = {
    requestAdapter: async (options: GPURequestAdapterOptions) => {
      const adapter = await navigator.gpu.requestAdapter(options);
      if (!adapter) return null;
      const requestDevice = async (wanted: GPUDeviceDescriptor) => rig(await adapter.requestDevice(wanted));
      return { limits: adapter.limits, info: adapter.info, features: adapter.features, requestDevice };
    },
  } as unknown as GPU;
  return {
    gpu,
    devices,
    complaints,
    submissions: () => submissions,
    breakNow,
    breakAfter: (count) => {
      until = count;
    },
    limitMemory: (bytes) => {
      limit = bytes;
    },
  };
}
