/** From a source to a model that runs: its files, its tokenizer, the GPU, and the engine between them. */
import type { WireLoadOptions } from "../src/client/protocol.ts";
import type { LoadProgress, ModelWarning } from "../src/client/types.ts";
import { Engine } from "../src/engine/engine.ts";
import { openCheckpoint } from "../src/formats/open-checkpoint.ts";
import { type Gpu, openGpu } from "../src/gpu/device.ts";
import type { Hold, TokenBytes } from "../src/grammar/types.ts";
import { describeModel } from "../src/models/registry.ts";
import { loadTokenizer, type ModelTokenizer } from "../src/tokenizer/load.ts";
import { untilAborted } from "../src/util/abort.ts";
import { createWeightMap } from "../src/weights/weight-map.ts";
import { IoClient, type IoPlace } from "./io-client.ts";
import type { Source } from "./io-protocol.ts";
import { cacheWanted, checkTierOptions, defaultRamBytes } from "./tier-options.ts";

/** What the worker has that an engine does not look for itself. */
export interface HostPlace extends IoPlace {
  readonly gpu: GPU | undefined;
  /** Gibibytes, as far as the browser tells. */
  readonly deviceMemory?: number | undefined;
  /** Starts the grammar worker; absent where there are no nested workers. */
  readonly startGrammarWorker?: (() => Worker) | undefined;
  /** Holds texts of a vocabulary to constraints in this thread, where there is no worker for it. */
  readonly holdHere?: ((vocabulary: TokenBytes) => Promise<Hold>) | undefined;
  /** The user asked for little traffic. */
  readonly saveData?: boolean | undefined;
}

/** What is alive of a model; who has it closes `io`, disposes `engine` and destroys `gpu`. */
export interface OpenedModel {
  readonly io: IoClient;
  readonly gpu: Gpu;
  readonly engine: Engine;
  readonly tokenizer: ModelTokenizer | undefined;
  /** Per MoE layer the experts that earlier visits used, the most used first. */
  readonly popular: readonly (readonly number[])[];
}

/** @throws what `loadModel` does; nothing of the model is left then. */
export async function openModel(
  place: HostPlace,
  source: Source,
  options: WireLoadOptions,
  signal: AbortSignal,
  onProgress: ((progress: LoadProgress) => void) | null,
  onWarning: ((warning: ModelWarning) => void) | null,
): Promise<OpenedModel> {
  checkTierOptions(source, options);
  const report = (phase: LoadProgress["phase"], loadedBytes = 0, totalBytes = 0) =>
    onProgress?.({ phase, loadedBytes, totalBytes });
  report("header");
  const io = await openIo(place, source, options, signal);
  let gpu: Gpu | undefined;
  try {
    const { files } = io;
    const checkpoint = await openCheckpoint(files, signal);
    const { spec, names } = describeModel(checkpoint);
    const weights = createWeightMap(checkpoint, spec, names);
    const tokenizer = await loadTokenizer(files, checkpoint, signal);
    report("device");
    const opening = openGpu(place.gpu, { stockLimits: options.stockLimits ?? false });
    gpu = await untilAborted(opening, signal, (late) => late.destroy());
    const popular = await untilAborted(io.setExperts(checkpoint, weights, spec), signal);
    const engine = await Engine.create(gpu, weights, spec, {
      ...options,
      readExpert: io.readExpert,
      raiseExpert: io.raiseExpert,
      ramBudgetBytes: options.ramBudgetBytes ?? defaultRamBytes(source, place),
      sourceCounts: io.counts,
      reservedSessions: options.chatSessions,
      signal,
      onProgress: (loaded, total) => report("weights", loaded, total),
      onWarning: onWarning ?? undefined,
    });
    const { denseBytes } = engine.memory();
    report("ready", denseBytes, denseBytes);
    return { io, gpu, engine, tokenizer, popular };
  } catch (error) {
    gpu?.destroy();
    await io.close().catch(() => {}); // what has come is kept on disk, and the next attempt goes on from there
    throw error;
  }
}

function openIo(place: HostPlace, source: Source, options: WireLoadOptions, signal: AbortSignal): Promise<IoClient> {
  const { diskQuotaBytes, stallTimeoutMs } = options;
  const wanted = { cache: cacheWanted(source, options, place), diskQuotaBytes, stallTimeoutMs };
  return IoClient.open(source, wanted, place, signal);
}
