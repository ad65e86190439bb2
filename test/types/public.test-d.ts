/**
 * The public types, held by the compiler alone: nothing here runs. The type check reads it against the source;
 * `test/e2e/package.test.ts` compiles it again against the packed declarations, as a consumer's compiler does.
 */
import {
  BudgetError,
  type CachedModel,
  type ChatStream,
  type cachedModels,
  canRun,
  type createChatStream,
  type DeviceCode,
  type DeviceError,
  type ErrorCode,
  errorCode,
  type FormatError,
  type GenerateOptions,
  type inspectModel,
  type LoadOptions,
  type LoadProgress,
  loadModel,
  type loadTokenizer,
  type MemoryPlan,
  Model,
  type ModelInspection,
  type ModelSource,
  type ModelSpec,
  type ModelTokenizer,
  type ModelWarning,
  OctavoError,
  type RunAnswer,
  type RunOptions,
  Session,
  type SessionSnapshot,
  type SourceCode,
  SourceError,
  type SpeedEstimate,
  type Stats,
  type TraceRow,
  type Verdict,
} from "../../src/index.ts";

/** True for types that are the same, not merely assignable to each other. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type IsAny<T> = 0 extends 1 & T ? true : false;
/** Compiles for `true` only. */
function holds<_Claim extends true>(): void {}

// What calls give.
holds<Same<Awaited<ReturnType<typeof loadModel>>, Model>>();
holds<Same<Awaited<ReturnType<typeof inspectModel>>, ModelInspection>>();
holds<Same<Awaited<ReturnType<typeof canRun>>, RunAnswer>>();
holds<Same<Awaited<ReturnType<typeof cachedModels>>, CachedModel[]>>();
holds<Same<Awaited<ReturnType<typeof loadTokenizer>>, ModelTokenizer>>();
holds<Same<Awaited<ReturnType<Model["createSession"]>>, Session>>();
holds<Same<Awaited<ReturnType<Model["stats"]>>, Stats>>();
holds<Same<Awaited<ReturnType<Model["setBudget"]>>, MemoryPlan>>();
holds<Same<Awaited<ReturnType<Model["takeTrace"]>>, TraceRow[]>>();
holds<Same<Model["spec"], ModelSpec>>();
holds<Same<Awaited<ReturnType<Session["save"]>>, SessionSnapshot>>();
holds<Same<Awaited<ReturnType<Session["fork"]>>, Session>>();
holds<Same<Awaited<ReturnType<Model["restoreSession"]>>, Session>>();
holds<Same<SessionSnapshot, ArrayBuffer>>();
holds<Same<NonNullable<LoadOptions["onWarning"]>, (warning: ModelWarning) => void>>();
holds<Same<ReturnType<typeof createChatStream>, ChatStream>>();

// Nothing is any.
holds<Same<IsAny<Model>, false>>();
holds<Same<IsAny<Session>, false>>();
holds<Same<IsAny<Stats[keyof Stats]>, false>>();
holds<Same<IsAny<RunAnswer[keyof RunAnswer]>, false>>();
holds<Same<IsAny<LoadOptions[keyof LoadOptions]>, false>>();
holds<Same<IsAny<GenerateOptions[keyof GenerateOptions]>, false>>();
holds<Same<IsAny<ModelSpec["layers"][number]["mlp"]>, false>>();

// Options are optional one by one, and read only.
void loadModel("model.gguf");
void loadModel("model.gguf", {});
void loadModel(new URL("https://models.test/m.gguf"), { gpuBudgetBytes: 1 << 28, policy: "lfru", runAhead: "auto" });
void loadModel({ repo: "owner/name", quantization: "Q4_K_M" }, { signal: new AbortController().signal });
void loadModel([{ name: "model.gguf", bytes: new ArrayBuffer(8) }], {
  onProgress: ({ loadedBytes }) => loadedBytes.toFixed(),
});
void canRun("model.gguf", { promptTokens: 100, link: false, gpuBudgetBytes: 1e9 });
// @ts-expect-error a number of bytes
void loadModel("model.gguf", { gpuBudgetBytes: "1 GB" });
// @ts-expect-error no such policy
void loadModel("model.gguf", { policy: "fifo" });
// @ts-expect-error no such option
void loadModel("model.gguf", { budget: 1 });
// @ts-expect-error a source is needed
void loadModel();
// @ts-expect-error not a source
void loadModel(42);
// @ts-expect-error a link is tried or not
void canRun("model.gguf", { link: "fast" });

export function frozen(options: LoadOptions, run: RunOptions, answer: RunAnswer, progress: LoadProgress): void {
  // @ts-expect-error read only
  options.gpuBudgetBytes = 1;
  // @ts-expect-error read only
  run.link = true;
  // @ts-expect-error read only
  answer.verdict = "runs";
  // @ts-expect-error read only
  progress.loadedBytes = 1;
}

export async function use(source: ModelSource): Promise<void> {
  const model = await loadModel(source);
  const session = await model.createSession({ contextLength: 512 });
  const logits: Float32Array = await session.prefill(await model.encode("Once", { allowSpecial: false }));
  for await (const id of session.generate({ maxTokens: 3, temperature: 0.8, seed: 7 })) id.toFixed();
  // @ts-expect-error token ids, not text
  await session.prefill("Once");
  // @ts-expect-error the specification is plain data that a caller only reads
  model.spec.hiddenSize = logits.length;
  const left: Readonly<Record<string, number>> = await model.dispose();
  holds<Same<typeof left, Readonly<Record<string, number>>>>();
}
/** What lives longer than one call: snapshots, forks, vectors, and warnings that come while a model lives. */
export async function keep(source: ModelSource, signal: AbortSignal): Promise<void> {
  const model = await loadModel(source, { onWarning: (warning) => console.warn(sayWarning(warning)) });
  const session = await model.createSession();
  const snapshot = await session.save({ signal });
  const restored: Session = await model.restoreSession(snapshot, { signal, contextLength: session.contextLength });
  const fork: Session = await restored.fork({ signal });
  await fork.dispose();
  // @ts-expect-error bytes, not a session
  await model.restoreSession(session);
  // @ts-expect-error a snapshot is one buffer, not a view of one
  await model.restoreSession(new Uint8Array(snapshot));
  const one = await model.embed("Once", { normalize: true, signal });
  const ofIds = await model.embed([1, 2, 3]);
  const many = await model.embed(["Once", "twice"]);
  holds<Same<typeof one, Float32Array<ArrayBuffer>>>();
  holds<Same<typeof ofIds, Float32Array<ArrayBuffer>>>();
  holds<Same<typeof many, Float32Array<ArrayBuffer>[]>>();
  // @ts-expect-error texts or ids, not both
  await model.embed(["Once", 2]);
  // @ts-expect-error no such option
  await model.embed("Once", { pooling: "cls" });
}

export function sayWarning({ code, message }: ModelWarning): string {
  switch (code) {
    case "device-lost":
      return `lost: ${message}`;
    case "budget-lowered":
      return `less: ${message}`;
  }
}
export const classes: readonly unknown[] = [Model, Session];

// Verdicts and codes are closed sets, so that a switch over one is complete.
export function sayVerdict(verdict: Verdict): string {
  switch (verdict) {
    case "runs":
      return "yes";
    case "runs-paged":
      return "paged";
    case "does-not-run":
      return "no";
  }
}
holds<Same<RunAnswer["speed"] extends infer S ? (null extends S ? true : false) : never, true>>();
holds<Same<SpeedEstimate["tokensPerSecond"], number>>();

export function sayError(error: unknown): string {
  if (error instanceof BudgetError) return `${error.details.smallestBytes?.toFixed()} bytes`;
  if (error instanceof SourceError) {
    holds<Same<typeof error.code, SourceCode>>();
    // @ts-expect-error no such code
    return error.code === "http-200" ? "" : `${error.details.status ?? 0}`;
  }
  if (error instanceof OctavoError) {
    holds<Same<typeof error.code, ErrorCode>>();
    return error.message;
  }
  holds<Same<ReturnType<typeof errorCode>, ErrorCode | "aborted" | undefined>>();
  return errorCode(error) ?? "unknown";
}
holds<Same<FormatError["code"], "format">>();
holds<Same<DeviceError["code"], DeviceCode>>();
// @ts-expect-error a code of another class
new SourceError("x", { code: "device-lost" });
