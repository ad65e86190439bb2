/** Compiles each linked shader once and binds buffers to it by name. */
import { DeviceError, UsageError } from "../errors.ts";
import type { LedgerBuffer } from "./ledger.ts";
import type { Binding, LinkedShader } from "./wgsl.ts";

/** A run of a buffer's bytes; `offset` is a multiple of 256. Without a size, to the end. */
export interface BufferRange {
  readonly buffer: LedgerBuffer;
  readonly offset?: number;
  readonly bytes?: number;
}

/** A pipeline with its buffers: what a recorder needs but the grid. */
export interface Bound {
  readonly label: string;
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
}

interface Compiled {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

export class Pipelines {
  readonly #device: GPUDevice;
  readonly #compiled = new Map<string, Compiled>();
  readonly #checks: Promise<void>[] = [];

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Binds `buffers` by name. @throws UsageError on a missing or extra name, before any GPU call. */
  bind(
    label: string,
    shader: LinkedShader,
    constants: Readonly<Record<string, number>>,
    buffers: Readonly<Record<string, BufferRange>>,
  ): Bound {
    checkNames(label, shader.bindings, buffers);
    const { pipeline, layout } = this.#compile(label, shader, constants);
    const entries = shader.bindings.map(({ name, index }) => ({ binding: index, resource: resource(buffers[name]) }));
    return { label, pipeline, group: this.#device.createBindGroup({ label, layout, entries }) };
  }

  /** Resolves when every pipeline made so far compiled. @throws DeviceError with line, column and source. */
  async settled(): Promise<void> {
    await Promise.all(this.#checks.splice(0));
  }

  #compile(label: string, shader: LinkedShader, constants: Readonly<Record<string, number>>): Compiled {
    const key = `${JSON.stringify(constants)}\n${shader.text}`;
    const known = this.#compiled.get(key);
    if (known) return known;
    const device = this.#device;
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ label, code: shader.text });
    const layout = device.createBindGroupLayout({
      label,
      entries: shader.bindings.map(({ index, type }) => ({
        binding: index,
        visibility: 4, // GPUShaderStage.COMPUTE: the global is missing in some hosts
        buffer: { type },
      })),
    });
    const pipeline = device.createComputePipeline({
      label,
      layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: "main", constants: { ...constants } },
    });
    const check = this.#check(label, shader.text, module, device.popErrorScope());
    check.catch(() => {}); // reported by settled()
    this.#checks.push(check);
    const compiled = { pipeline, layout };
    this.#compiled.set(key, compiled);
    return compiled;
  }

  async #check(label: string, text: string, module: GPUShaderModule, scope: Promise<GPUError | null>): Promise<void> {
    const error = await scope;
    if (!error) return;
    const { messages } = await module.getCompilationInfo();
    const lines = text.split("\n");
    const details = messages.map((m) => `${m.lineNum}:${m.linePos} ${m.message}\n    ${lines[m.lineNum - 1] ?? ""}`);
    throw new DeviceError(`Kernel "${label}" does not compile: ${details.join("\n") || error.message}`);
  }
}

function resource(range: BufferRange | undefined): GPUBufferBinding {
  if (!range) throw new UsageError("unreachable: names were checked");
  const { buffer, offset = 0, bytes } = range;
  return bytes === undefined ? { buffer: buffer.buffer, offset } : { buffer: buffer.buffer, offset, size: bytes };
}

function checkNames(label: string, bindings: readonly Binding[], buffers: Readonly<Record<string, BufferRange>>): void {
  const missing = bindings.filter(({ name }) => !buffers[name]).map(({ name }) => name);
  const extra = Object.keys(buffers).filter((name) => !bindings.some((binding) => binding.name === name));
  if (missing.length === 0 && extra.length === 0) return;
  throw new UsageError(`Kernel "${label}": bindings missing [${missing}], not declared [${extra}].`);
}
