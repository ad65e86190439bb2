/** Compiles each linked shader once and binds buffers to it by name. */
import { DeviceError, UsageError } from "../errors.ts";
import { untilAborted } from "../util/abort.ts";
import type { LedgerBuffer } from "./ledger.ts";
import type { Loss } from "./loss.ts";
import type { Binding, LinkedShader } from "./wgsl.ts";

/** A run of a buffer's bytes; `offset` is a multiple of 256. Without a size, to the end. */
export interface BufferRange {
  readonly buffer: LedgerBuffer;
  readonly offset?: number;
  readonly bytes?: number;
}

/** A kernel with its buffers: what a recorder needs but the grid. Its pipeline is there once `settled` resolved. */
export interface Bound {
  readonly label: string;
  readonly compiled: Compiled;
  readonly group: GPUBindGroup;
}

export interface Compiled {
  readonly layout: GPUBindGroupLayout;
  /** `undefined` while it compiles. */
  pipeline: GPUComputePipeline | undefined;
}

export class Pipelines {
  readonly #loss: Loss;
  #device: GPUDevice;
  readonly #compiled = new Map<string, Compiled>();
  #compiling: Promise<void>[] = [];

  constructor(device: GPUDevice, loss: Loss) {
    this.#device = device;
    this.#loss = loss;
  }

  /** Compiles on `device` from now on, everything anew: the old one is lost. */
  adopt(device: GPUDevice): void {
    this.#device = device;
    this.#compiled.clear();
    this.#compiling = [];
  }

  /** Binds `buffers` by name. @throws UsageError on a missing or extra name, before any GPU call. */
  bind(
    label: string,
    shader: LinkedShader,
    constants: Readonly<Record<string, number>>,
    buffers: Readonly<Record<string, BufferRange>>,
  ): Bound {
    checkNames(label, shader.bindings, buffers);
    const compiled = this.#compile(label, shader, constants);
    const entries = shader.bindings.map(({ name, index }) => ({ binding: index, resource: resource(buffers[name]) }));
    return { label, compiled, group: this.#device.createBindGroup({ label, layout: compiled.layout, entries }) };
  }

  /**
   * Resolves when every pipeline bound so far is compiled.
   * @throws DeviceError with line, column and source; `AbortError` as soon as `signal` fires, and the next who asks waits
   *   for what still compiles.
   */
  async settled(signal?: AbortSignal): Promise<void> {
    while (this.#compiling.length > 0) {
      const compiling = this.#compiling.splice(0);
      const all = this.#loss.orGone(Promise.all(compiling));
      await untilAborted(all, signal).catch((error: unknown) => {
        if (signal?.aborted) this.#compiling.push(...compiling);
        throw error;
      });
    }
  }

  #compile(label: string, shader: LinkedShader, constants: Readonly<Record<string, number>>): Compiled {
    const key = `${JSON.stringify(constants)}\n${shader.text}`;
    const known = this.#compiled.get(key);
    if (known) return known;
    const device = this.#device;
    const module = device.createShaderModule({ label, code: shader.text });
    const layout = device.createBindGroupLayout({
      label,
      entries: shader.bindings.map(({ index, type }) => ({
        binding: index,
        visibility: 4, // GPUShaderStage.COMPUTE: the global is missing in some hosts
        buffer: { type },
      })),
    });
    const compiled: Compiled = { layout, pipeline: undefined };
    this.#compiled.set(key, compiled);
    const creating = device.createComputePipelineAsync({
      label,
      layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: "main", constants: { ...constants } },
    });
    const finished = creating.then(
      (pipeline) => {
        compiled.pipeline = pipeline;
      },
      async (error: unknown) => {
        this.#compiled.delete(key);
        throw await compileError(label, shader.text, module, error);
      },
    );
    finished.catch(() => {}); // reported by settled()
    this.#compiling.push(finished);
    return compiled;
  }
}

async function compileError(
  label: string,
  text: string,
  module: GPUShaderModule,
  error: unknown,
): Promise<DeviceError> {
  const { messages } = await module.getCompilationInfo();
  const lines = text.split("\n");
  const details = messages.map((m) => `${m.lineNum}:${m.linePos} ${m.message}\n    ${lines[m.lineNum - 1] ?? ""}`);
  const reason = error instanceof Error ? error.message : String(error);
  return new DeviceError(`Kernel "${label}" does not compile: ${details.join("\n") || reason}`, {
    code: "shader",
    cause: error,
  });
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
