/** The engine's side of the I/O border: a model's files as a `FileSet` and its experts as a `ReadExpert`, wherever the I/O runs. */
import { type Remote, releaseProxy, wrap } from "comlink";
import { newSourceCounts, type SourceCounts } from "../src/engine/counters.ts";
import { SourceError } from "../src/errors.ts";
import type { Checkpoint } from "../src/formats/checkpoint.ts";
import type { ModelSpec } from "../src/models/spec.ts";
import type { ByteSource, FileSet } from "../src/sources/byte-source.ts";
import type { ExpertLayer } from "../src/tiers/expert-files.ts";
import type { ReadExpert } from "../src/tiers/read-expert.ts";
import { throwIfAborted } from "../src/util/abort.ts";
import { carryErrorsWhole } from "../src/util/error-border.ts";
import type { WeightMap } from "../src/weights/weight-map.ts";
import { IoHost, type IoHostPlace } from "./io-host.ts";
import type { Answer, IoApi, IoOptions, Source } from "./io-protocol.ts";

export interface IoPlace extends IoHostPlace {
  /** Starts the I/O worker; absent where there are no nested workers. */
  readonly startIoWorker?: (() => Worker) | undefined;
  /** Told of a signal that many reads will listen to, which some hosts take for a leak. */
  readonly expectListeners?: ((signal: AbortSignal) => void) | undefined;
}

export class IoClient {
  /** Up to date with the last bytes that came; sizes and states with the last `refreshCounts`. */
  readonly counts = newSourceCounts();
  readonly #api: IoApi;
  readonly #place: IoPlace;
  readonly #numbers = new Map<ByteSource, number>();
  /** Rejections of the calls under way. */
  readonly #waiting = new Set<(error: Error) => void>();
  #failure: Error | undefined;
  #nextCall = 1;
  #files: FileSet = { label: "", entry: undefined, open: async () => undefined };

  private constructor(api: IoApi, place: IoPlace, worker?: Worker) {
    this.#api = api;
    this.#place = place;
    worker?.addEventListener("error", (event) => {
      event.preventDefault();
      this.#fail(
        new SourceError(`The I/O worker stopped: ${event.message || "its script did not load"}`, {
          code: "worker-stopped",
        }),
      );
    });
  }

  /**
   * Opens `source` in an I/O worker, or in this thread where that cannot be started, as for bytes in memory: another
   * worker would only have a second copy of those. @throws UsageError for a source that is none.
   */
  static async open(source: Source, options: IoOptions, place: IoPlace, signal?: AbortSignal): Promise<IoClient> {
    const inMemory = (Array.isArray(source) ? source : [source]).some(
      (file) => typeof file !== "string" && "bytes" in file,
    );
    const worker = inMemory ? undefined : startOrNot(place.startIoWorker);
    if (worker) {
      carryErrorsWhole();
      const client = new IoClient(wrap<IoApi>(worker) as Remote<IoApi> & IoApi, place, worker);
      try {
        await client.#openFiles(source, options, signal);
        return client;
      } catch (error) {
        client.#release();
        if (error !== client.#failure) throw error;
        worker.terminate();
      }
    }
    const client = new IoClient(new IoHost(place, false), place);
    await client.#openFiles(source, options, signal);
    return client;
  }

  get files(): FileSet {
    return this.#files;
  }

  readonly readExpert: ReadExpert = (layer, expert, { signal, priority }) =>
    this.#bytes(signal, (api, callId) => api.readExpert(layer, expert, priority, callId));

  readonly raiseExpert = (layer: number, expert: number): void => {
    this.#call(undefined, (api) => api.raiseExpert(layer, expert)).catch(() => {}); // its reader is told
  };

  /** Says where the experts are stored; see `IoApi.setExperts`. */
  setExperts(checkpoint: Checkpoint, weights: WeightMap, spec: ModelSpec): Promise<number[][]> {
    const numbers = checkpoint.shards.map((shard) => {
      const number = this.#numbers.get(shard);
      if (number === undefined) throw new RangeError(`${shard.label} was not opened here`);
      return number;
    });
    const layers = spec.layers.flatMap(({ mlp }, layer) =>
      mlp?.kind === "moe" ? [expertLayer(numbers, weights, layer, mlp.numExperts)] : [],
    );
    return this.#call(undefined, (api) => api.setExperts(layers));
  }

  noteUses(uses: Uint32Array<ArrayBuffer>): Promise<void> {
    return this.#call(undefined, (api) => api.noteUses(uses));
  }

  setFill(on: boolean): Promise<void> {
    return this.#call(undefined, (api) => api.setFill(on));
  }

  /** Brings `counts` up to date, the sizes and states among them too. */
  async refreshCounts(): Promise<SourceCounts> {
    return Object.assign(this.counts, await this.#call(undefined, (api) => api.counts()));
  }

  /**
   * Lets go of the files; what was read is stored before. The worker ends with this one, whose end comes next: while a
   * worker of its own is still ending, Chromium sometimes never ends it, and both threads stay for as long as the page.
   */
  async close(): Promise<void> {
    try {
      if (!this.#failure) await this.#call(undefined, (api) => api.close());
    } finally {
      this.#release();
    }
  }

  async #openFiles(source: Source, options: IoOptions, opening: AbortSignal | undefined): Promise<void> {
    const { label, entry } = await this.#call(opening, (api, callId) => api.open(source, options, callId));
    this.#files = { label, entry, open: (name, signal) => this.#openFile(name, signal) };
  }

  async #openFile(name: string, signal: AbortSignal | undefined): Promise<ByteSource | undefined> {
    const opened = await this.#call(signal, (api, callId) => api.openFile(name, callId));
    if (!opened) return undefined;
    const { file, label, size } = opened;
    const source: ByteSource = {
      label,
      size: async () => size,
      read: (offset, length, signal) => this.#bytes(signal, (api, callId) => api.read(file, offset, length, callId)),
    };
    this.#numbers.set(source, file);
    return source;
  }

  async #bytes(
    signal: AbortSignal | undefined,
    run: (api: IoApi, callId: number) => Promise<Answer>,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { bytes, counts } = await this.#call(signal, run);
    Object.assign(this.counts, counts);
    return bytes;
  }

  /** Ends when the other side has ended, aborted or not: who is told so may rely on it. */
  async #call<T>(signal: AbortSignal | undefined, run: (api: IoApi, callId: number) => Promise<T>): Promise<T> {
    if (this.#failure) throw this.#failure;
    throwIfAborted(signal);
    const callId = this.#nextCall++;
    const cancel = (): void => void this.#api.cancel(callId);
    if (signal) this.#place.expectListeners?.(signal);
    signal?.addEventListener("abort", cancel);
    let fail: (error: Error) => void = () => {};
    try {
      return await new Promise<T>((resolve, reject) => {
        fail = reject;
        this.#waiting.add(fail);
        run(this.#api, callId).then(resolve, reject);
      });
    } catch (error) {
      throwIfAborted(signal);
      throw error;
    } finally {
      this.#waiting.delete(fail);
      signal?.removeEventListener("abort", cancel);
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const reject of this.#waiting) reject(this.#failure);
  }

  /** In this thread there is no proxy. */
  #release(): void {
    (this.#api as Partial<Remote<IoApi>>)[releaseProxy]?.();
  }
}

/** A page's rules may forbid workers; then the engine's thread does their work. */
function startOrNot(start: IoPlace["startIoWorker"]): Worker | undefined {
  try {
    return start?.();
  } catch {
    return undefined;
  }
}

function expertLayer(numbers: readonly number[], weights: WeightMap, layer: number, numExperts: number): ExpertLayer {
  const ranges = Array.from({ length: numExperts }, (_, expert) => weights.expertRanges(layer, expert));
  const parts = ranges.flat().flatMap(({ shard, offset, length }) => [numbers[shard] ?? -1, offset, length]);
  const layout = weights.expertLayout(layer);
  return { layer, numExperts, layout, numParts: ranges[0]?.length ?? 0, parts: Float64Array.from(parts) };
}
