/**
 * What the engine reaches in the I/O worker: a model's files and experts, from disk or network. Where there is no such
 * worker the engine's thread has one of these itself.
 */
import { transfer } from "comlink";
import { newSourceCounts, type SourceCounts } from "../src/engine/counters.ts";
import { UsageError } from "../src/errors.ts";
import { openSource } from "../src/sources/open-source.ts";
import type { SourceHooks } from "../src/sources/source-hooks.ts";
import { ExpertFiles, type ExpertLayer } from "../src/tiers/expert-files.ts";
import { FetchQueue } from "../src/tiers/fetch-queue.ts";
import type { ModelCache } from "../src/tiers/model-cache.ts";
import { type ModelFile, ModelFiles } from "../src/tiers/model-files.ts";
import type { ReadPriority } from "../src/tiers/read-expert.ts";
import { CallTable } from "./call-table.ts";
import { type OpenedCache, openCache, type StorageAccess } from "./disk-cache.ts";
import type { Answer, IoApi, IoOptions, OpenedFile, Source } from "./io-protocol.ts";

/** Entries of stored blocks are written this long after the last fetch, so that a busy time has few flushes. */
const COMMIT_DELAY_MS = 300;

/** What this worker has that only it can look for. */
export interface IoHostPlace extends StorageAccess {
  /** Opens sources, where there are places that a page does not know. */
  readonly openSource?: typeof openSource | undefined;
  /** Whether the browser says that it has no network. */
  readonly isOffline?: (() => boolean) | undefined;
}

export class IoHost implements IoApi {
  readonly #place: IoHostPlace;
  readonly #inWorker: boolean;
  readonly #calls = new CallTable();
  readonly #queue = new FetchQueue();
  readonly #sourceCounts = newSourceCounts();
  readonly #open: ModelFile[] = [];
  #disk: OpenedCache | undefined;
  #whyNoCache = "off";
  #files: ModelFiles | undefined;
  #experts: ExpertFiles | undefined;
  #commitTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(place: IoHostPlace, inWorker: boolean) {
    this.#place = place;
    this.#inWorker = inWorker;
    this.#queue.onIdle = () => this.#commitSoon();
  }

  open(source: Source, options: IoOptions, callId: number): Promise<{ label: string; entry: string | undefined }> {
    return this.#calls.run(callId, async (signal) => {
      const open = this.#place.openSource ?? openSource;
      const origin = await open(source, this.#hooks(options.stallTimeoutMs), signal);
      if (options.cache) {
        const worth = (group: number): number => this.#experts?.worth(group) ?? 0;
        const opened = await openCache(this.#place, origin.label, options.diskQuotaBytes, worth);
        if (typeof opened === "string") this.#whyNoCache = opened;
        else this.#disk = opened;
      }
      this.#files = new ModelFiles(origin, this.#cache, this.#queue);
      return { label: origin.label, entry: origin.entry };
    });
  }

  #hooks(stallTimeoutMs: number | undefined): SourceHooks {
    const counts = this.#sourceCounts;
    return {
      stallTimeoutMs,
      isOffline: this.#place.isOffline,
      onBytes: (kind, bytes) => {
        counts[`${kind}Bytes`] += bytes;
      },
      onRetry: () => {
        counts.retries += 1;
      },
      onReResolve: () => {
        counts.reResolved += 1;
      },
    };
  }

  openFile(name: string, callId: number): Promise<OpenedFile | undefined> {
    return this.#calls.run(callId, async (signal) => {
      const opened = await this.#opened().open(name, signal);
      if (!opened) return undefined;
      const { origin, identity } = opened;
      return { file: this.#open.push(opened) - 1, label: origin.label, size: identity.size };
    });
  }

  read(file: number, offset: number, length: number, callId: number): Promise<Answer> {
    return this.#calls.run(callId, async (signal) => {
      const opened = this.#open[file];
      if (!opened) throw new UsageError(`File ${file} of ${this.#open.length} is not open`);
      return this.#answer(await this.#opened().read({ file: opened, offset, length }, { signal, priority: "demand" }));
    });
  }

  async setExperts(layers: readonly ExpertLayer[]): Promise<number[][]> {
    this.#experts = await ExpertFiles.open(this.#opened(), this.#cache, this.#open, layers);
    return this.#experts.popular();
  }

  readExpert(layer: number, expert: number, priority: ReadPriority, callId: number): Promise<Answer> {
    return this.#calls.run(callId, async (signal) => {
      if (!this.#experts) throw new UsageError("The experts are not known yet");
      return this.#answer(await this.#experts.read(layer, expert, { signal, priority }));
    });
  }

  async raiseExpert(layer: number, expert: number): Promise<void> {
    this.#experts?.raise(layer, expert);
  }

  async noteUses(uses: Uint32Array<ArrayBuffer>): Promise<void> {
    await this.#experts?.noteUses(uses);
  }

  async setFill(on: boolean): Promise<void> {
    await this.#experts?.setFill(on);
  }

  async counts(): Promise<SourceCounts> {
    const cache = this.#cache;
    return {
      ...this.#sourceCounts,
      ...this.#running(),
      cacheBytes: cache?.bytes ?? 0,
      cacheDisabled: cache ? cache.disabled : this.#whyNoCache,
      cachedExperts: cache?.storedExperts ?? 0,
      fillState: this.#experts?.fillState ?? "off",
      ioWorker: this.#inWorker,
    };
  }

  async cancel(callId: number): Promise<void> {
    this.#calls.cancel(callId);
  }

  async close(): Promise<void> {
    this.#calls.cancelAll();
    clearTimeout(this.#commitTimer);
    this.#queue.onIdle = undefined;
    await this.#experts?.setFill(false);
    await this.#files?.stored();
    await this.#disk?.close();
  }

  /** The counts that only grow, which cost nothing to tell. */
  #running(): Partial<SourceCounts> {
    const { networkBytes, fileBytes, memoryBytes, retries, reResolved } = this.#sourceCounts;
    const { diskHits = 0, uncheckedFiles = 0 } = this.#files ?? {};
    const sources = { networkBytes, fileBytes, memoryBytes, retries, reResolved };
    return { ...sources, ...this.#queue.counts, ...this.#cache?.counts, diskHits, uncheckedFiles };
  }

  /** Bytes go over without a copy. */
  #answer(bytes: Uint8Array<ArrayBuffer>): Answer {
    return transfer({ bytes, counts: this.#running() }, [bytes.buffer]);
  }

  get #cache(): ModelCache | undefined {
    return this.#disk?.cache;
  }

  #opened(): ModelFiles {
    if (!this.#files) throw new UsageError("No model is open");
    return this.#files;
  }

  #commitSoon(): void {
    if (!this.#cache) return;
    clearTimeout(this.#commitTimer);
    this.#commitTimer = setTimeout(() => void this.#files?.stored(), COMMIT_DELAY_MS);
  }
}
