/** Whatever goes wrong ends soon, in a named error that says what to do, and leaves nothing behind that is broken. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { LoadProgress, MemoryFile, ModelSource } from "../../src/client/types.ts";
import { Engine } from "../../src/engine/engine.ts";
import type { Session } from "../../src/engine/session.ts";
import { openCheckpoint } from "../../src/formats/open-checkpoint.ts";
import { generate } from "../../src/generate/generate.ts";
import { openGpu } from "../../src/gpu/device.ts";
import {
  BudgetError,
  DeviceError,
  FormatError,
  loadModel,
  OctavoError,
  SourceError,
  UnsupportedError,
  UsageError,
} from "../../src/index.ts";
import { openFileSet } from "../../src/sources/file-set.ts";
import { maiGgufParts } from "../fixtures/mai-twin.ts";
import { type FixtureTensor, type GgufValue, makeGguf } from "../fixtures/make-gguf.ts";
import { joinSafetensors } from "../fixtures/make-safetensors.ts";
import { createRandom } from "../reference/compare.ts";
import {
  type Answer,
  answer,
  bitDifference,
  difference,
  openDevice,
  openModel,
  type SharedDevice,
  shareDevice,
} from "./engines.ts";
import { maiFolder } from "./fixtures.ts";
import { fetchFolder, Service } from "./service.ts";

const CONTEXT = 64;
const PROMPT = [5, 266, 17, 90, 201, 44, 44, 8, 130, 299, 0, 61];

type Parts = { metadata: Record<string, GgufValue>; tensors: FixtureTensor[] };
type Bytes = Uint8Array<ArrayBuffer>;

let folder: Record<string, Bytes>;
let gguf: Parts;
beforeAll(async () => {
  folder = await fetchFolder("one-token-f32");
  gguf = await maiGgufParts(await openCheckpoint(maiFolder("one-token-f32")), "F32");
});

/** What became of a promise, and how long it took; a promise that hangs fails here and not at the test's limit. */
async function outcome(promise: Promise<unknown>, limitMs = 60_000): Promise<{ error: unknown; ms: number }> {
  const start = performance.now();
  const late = new Promise<never>((_, reject) => setTimeout(() => reject(new Error("hangs")), limitMs));
  const error = await Promise.race([promise, late]).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return { error, ms: performance.now() - start };
}

describe("through loadModel", () => {
  const RealWorker = globalThis.Worker;
  let started = 0;
  let terminated = 0;
  beforeEach(() => {
    started = terminated = 0;
    globalThis.Worker = class extends RealWorker {
      constructor(url: string | URL, options?: WorkerOptions) {
        super(url, options);
        started += 1;
      }
      override terminate() {
        terminated += 1;
        super.terminate();
      }
    };
  });
  afterEach(() => {
    globalThis.Worker = RealWorker;
    expect(terminated).toBe(started); // no worker, no device, no buffer outlives what was thrown
  });

  async function refused(source: ModelSource, Class: typeof OctavoError, says: RegExp): Promise<void> {
    const { error } = await outcome(loadModel(source, { contextLength: CONTEXT }));
    expect(String(error)).toMatch(says);
    expect(error).toBeInstanceOf(Class);
    expect(error).toBeInstanceOf(OctavoError);
    expect((error as Error).name).toBe(Class.name);
  }

  const memory = (files: Record<string, Bytes>): MemoryFile[] =>
    Object.entries(files).map(([name, bytes]) => ({ name, bytes }));
  const text = (value: string): Bytes => new Uint8Array(new TextEncoder().encode(value));
  const ggufOf = (change: (parts: Parts) => Partial<Parts>): MemoryFile => ({
    name: "model.gguf",
    bytes: makeGguf({ ...gguf, ...change(gguf) }),
  });
  const withConfig = (change: (config: Record<string, unknown>) => void): MemoryFile[] => {
    const config: Record<string, unknown> = JSON.parse(new TextDecoder().decode(folder["config.json"]));
    change(config);
    return memory({ ...folder, "config.json": text(JSON.stringify(config)) });
  };

  it.each([0, 20, 0.999])("a GGUF cut at %d (below 1: of its length)", async (at) => {
    const whole = makeGguf(gguf);
    const bytes = whole.slice(0, at > 0 && at < 1 ? Math.floor(whole.length * at) : at);
    await refused({ name: "model.gguf", bytes }, FormatError, /model\.gguf.*(expected|got|ends|past|only|bytes)/s);
  });

  it("a GGUF with another magic, another version, a forged count", async () => {
    const whole = makeGguf(gguf);
    const forged = (at: number, ...values: number[]) => {
      const bytes = whole.slice();
      bytes.set(values, at);
      return { name: "model.gguf", bytes };
    };
    await refused(forged(0, 80, 75, 3, 4), FormatError, /GGUF/);
    await refused(forged(4, 99), FormatError, /version/);
    await refused(forged(8, 255, 255, 255, 255, 255, 255, 255), FormatError, /tensor/i);
  });

  it("a GGUF without a tensor it needs, and with one of another shape", async () => {
    const name = "blk.1.ffn_gate_inp.weight";
    const without = ggufOf(({ tensors }) => ({ tensors: tensors.filter((tensor) => tensor.name !== name) }));
    await refused(without, FormatError, /blk\.1\.ffn_gate_inp\.weight/);
    const turned = ggufOf(({ tensors }) => ({
      tensors: tensors.map((t) => (t.name === name ? { ...t, shape: t.shape.toReversed() } : t)),
    }));
    await refused(turned, FormatError, /blk\.1\.ffn_gate_inp\.weight.*8.*48.*48.*8/s);
  });

  it("another architecture, an option that is not supported", async () => {
    const other = ggufOf(({ metadata }) => ({ metadata: { ...metadata, "general.architecture": "bert" } }));
    await refused(other, UnsupportedError, /bert.*mai/s);
    const hf = withConfig((config) => {
      config.architectures = ["BertForMaskedLM"];
      config.model_type = "bert";
    });
    await refused(hf, UnsupportedError, /bert/i);
    await refused(
      withConfig((config) => {
        config.hidden_act = "gelu";
      }),
      UnsupportedError,
      /hidden_act.*gelu|gelu.*hidden_act/s,
    );
  });

  it("storage types that are not supported", async () => {
    const { bytes } = ggufOf(() => ({})) as { bytes: Bytes };
    const name = text("blk.0.attn_q.weight");
    const at = bytes.findIndex((_, i) => name.every((byte, j) => bytes[i + j] === byte)) + name.length;
    bytes[at + 4 + 2 * 8] = 16; // the type behind two dimensions: IQ2_XXS
    await refused({ name: "model.gguf", bytes }, UnsupportedError, /IQ2_XXS/);
    const parts = splitSafetensors(folder["model.safetensors"]!);
    const json = parts.json.replace('"F32"', '"F64"');
    await refused(
      memory({ ...folder, "model.safetensors": joinSafetensors(json, [parts.data]) }),
      UnsupportedError,
      /F64/,
    );
  });

  it("safetensors that are cut, or whose header lies", async () => {
    const whole = folder["model.safetensors"]!;
    for (const length of [100, whole.length - 1]) {
      const files = memory({ ...folder, "model.safetensors": whole.slice(0, length) });
      await refused(files, FormatError, /model\.safetensors/);
    }
    const { json, data } = splitSafetensors(whole);
    const forged = [
      json.replace('"data_offsets": [0,', '"data_offsets": [4,'),
      json.replace(/("data_offsets": \[0, )\d+/, "$19999999999"),
      json.slice(0, -20),
      "[]",
    ];
    for (const header of forged) {
      const files = memory({ ...folder, "model.safetensors": joinSafetensors(header, [data]) });
      await refused(files, FormatError, /model\.safetensors/);
    }
    const huge = whole.slice();
    huge.set([255, 255, 255, 255, 255, 255, 0, 0]);
    await refused(memory({ ...folder, "model.safetensors": huge }), FormatError, /header/);
  });

  it("a folder without config, with one that is no JSON, without weights", async () => {
    const { "config.json": config, "model.safetensors": weights } = folder as { [name: string]: Bytes };
    await refused(memory({ "model.safetensors": weights! }), FormatError, /config\.json/);
    await refused(memory({ "config.json": text("{"), "model.safetensors": weights! }), FormatError, /config\.json/);
    await refused(memory({ "config.json": config! }), FormatError, /safetensors/);
  });

  it("addresses where nothing is, and no addresses", async () => {
    await refused(`${location.origin}/test/fixtures/mai/nowhere/`, FormatError, /nowhere/);
    await refused(`${location.origin}/test/fixtures/mai/nowhere/model.gguf`, SourceError, /nowhere\/model\.gguf/);
    await refused("ftp://models.test/model.gguf", UsageError, /http/);
    await refused("http://", UsageError, /URL|address/);
    await refused([], UsageError, /file/i);
    await refused([ggufOf(() => ({})), { name: "other.gguf", bytes: new Uint8Array(8) }], UsageError, /one GGUF/);
  });

  it("a budget too small names the smallest, which works; a byte less does not", async () => {
    const load = (gpuBudgetBytes: number) =>
      loadModel(memory(folder), { gpuBudgetBytes, contextLength: CONTEXT }).then((model) => model.dispose());
    const { error } = await outcome(load(1000));
    expect(error).toBeInstanceOf(BudgetError);
    const smallest = Number(/smallest that works here is (\d+)/.exec(String(error))?.[1]);
    expect((await outcome(load(smallest - 1))).error).toBeInstanceOf(BudgetError);
    expect((await outcome(load(smallest))).error).toBeUndefined();
    for (const senseless of [0, -1, Number.NaN]) {
      expect((await outcome(load(senseless))).error).toBeInstanceOf(UsageError);
    }
  });

  it.each(["header", "device", "weights", "ready"] as const)("an abort in phase %s", async (phase) => {
    const stop = new AbortController();
    const seen: LoadProgress[] = [];
    const onProgress = (progress: LoadProgress) => {
      seen.push(progress);
      if (progress.phase === phase) stop.abort();
    };
    const source = `${location.origin}/demo/public/models/octavo-tales/octavo-tales-q8_0.gguf`;
    const loading = loadModel(source, { signal: stop.signal, onProgress, contextLength: CONTEXT });
    const { error, ms } = await outcome(loading.then((model) => model.dispose()));
    expect(seen.length).toBeGreaterThan(0);
    // The last phase is told when all is done, so its abort may come too late.
    if (phase !== "ready" || error !== undefined) expect(error).toMatchObject({ name: "AbortError" });
    expect(ms).toBeLessThan(10_000);
  });

  it("an abort before the start starts nothing", async () => {
    const reason = new Error("not today");
    const { error } = await outcome(loadModel("https://models.test/", { signal: AbortSignal.abort(reason) }));
    expect(error).toBe(reason);
    expect(started).toBe(0);
  });

  it("what runs when the model is disposed ends too", async () => {
    const model = await loadModel(memory(folder), { contextLength: CONTEXT });
    const session = await model.createSession();
    const running = outcome(session.prefill(PROMPT));
    const waiting = outcome(session.decode(1));
    expect(await model.dispose()).toEqual({});
    for (const { error } of [await running, await waiting]) {
      expect(error).toBeInstanceOf(Error);
      expect(String(error)).not.toMatch(/hangs/);
    }
    expect((await outcome(session.prefill(PROMPT))).error).toBeInstanceOf(UsageError);
  });
});

/** Header text and data of a safetensors file. */
function splitSafetensors(bytes: Bytes): { json: string; data: Bytes } {
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  return { json: new TextDecoder().decode(bytes.subarray(8, 8 + length)), data: bytes.slice(8 + length) };
}

describe("in an engine", () => {
  const STEPS = 12;
  let device: SharedDevice;
  let expected: Answer;
  let smallest = 0;
  beforeAll(async () => {
    device = await shareDevice();
    const { engine } = await device.engine(await openModel(maiFolder("one-token-f32")), { contextLength: CONTEXT });
    expected = await answer(await engine.createSession(), PROMPT, STEPS);
    smallest = engine.memory().minBudgetBytes;
    engine.dispose();
  });
  afterAll(() => expect(device.complaints).toEqual([]));

  interface Rig {
    readonly service: Service;
    readonly engine: Engine;
    readonly session: Session;
    readonly retries: () => number;
  }

  /** An engine at the smallest budget that reads from a service; nothing may be left of it afterwards. */
  async function withService(run: (rig: Rig) => Promise<void>): Promise<void> {
    const service = new Service(folder);
    let retries = 0;
    const hooks = { fetch: service.fetch, retryDelaysMs: [2, 2], onRetry: () => void retries++ };
    const model = await openModel(openFileSet(service.url, hooks));
    const { engine, gpu } = await device.engine(model, { contextLength: CONTEXT, gpuBudgetBytes: smallest });
    await run({ service, engine, session: await engine.createSession(), retries: () => retries });
    engine.dispose();
    expect(gpu.ledger.byOwner()).toEqual({});
  }

  /** The whole answer again, from the start. */
  async function soundAgain({ session }: Rig): Promise<void> {
    session.rewind(0);
    expect(difference(await answer(session, PROMPT, STEPS), expected)).toBe("");
  }

  it("an expert that is gone: SourceError from the step, the timeline as before, the same bits once it is back", () =>
    withService(async (rig) => {
      const { service, session } = rig;
      service.mishap = () => 404;
      expect((await outcome(session.prefill(PROMPT))).error).toBeInstanceOf(SourceError);
      expect(session.tokens).toEqual([]);
      service.mishap = () => undefined;
      expect(bitDifference(await session.prefill(PROMPT), expected.bits[0]!)).toBe("");
      let failed = 0;
      for (const [step, id] of expected.ids.entries()) {
        service.mishap = ({ number }) => (number % 3 === 0 ? 404 : undefined);
        const { error } = await outcome(session.decode(id));
        if (error !== undefined) {
          failed += 1;
          expect(error).toBeInstanceOf(SourceError);
          expect(String(error)).toMatch(/model\.safetensors.*404/s);
          expect(session.length).toBe(PROMPT.length + step);
          service.mishap = () => undefined;
          expect(bitDifference(await session.decode(id), expected.bits[step + 1]!), `token ${step}`).toBe("");
        }
      }
      expect(failed).toBeGreaterThan(2);
      service.mishap = () => undefined;
      await soundAgain(rig);
    }));

  it("one read fails and the others come later: the next step is not disturbed by them", () =>
    withService(async (rig) => {
      const { service, session } = rig;
      const { int } = createRandom();
      for (let turn = 0; turn < 12; turn += 2) {
        session.rewind(0);
        const victim = service.requests.length + int(1, 6);
        service.latencyMs = ({ number }) => (number === victim ? 0 : int(0, turn * 15));
        service.mishap = ({ number }) => (number === victim ? 404 : undefined);
        const { error } = await outcome(session.prefill(PROMPT));
        if (error !== undefined) expect(error).toBeInstanceOf(SourceError);
        session.rewind(0);
        service.mishap = () => undefined;
        expect(bitDifference(await session.prefill(PROMPT), expected.bits[0]!), `turn ${turn}`).toBe("");
      }
      service.latencyMs = () => 0;
      await soundAgain(rig);
    }));

  it("a connection that breaks is picked up where it broke; one that keeps breaking is a SourceError", () =>
    withService(async (rig) => {
      const { service, session, retries } = rig;
      const broken = new Set<number>();
      service.mishap = ({ end }) => {
        if (broken.has(end) || end % 3 === 0) return undefined; // the end of a range stays when it is asked for again
        broken.add(end);
        return "dies";
      };
      expect(difference(await answer(session, PROMPT, STEPS), expected)).toBe("");
      expect(retries()).toBeGreaterThan(0);
      session.rewind(PROMPT.length);
      service.mishap = () => 503;
      let error: unknown;
      for (let id = 0; id < 20 && error === undefined; id++) ({ error } = await outcome(session.decode(id)));
      expect(error).toBeInstanceOf(SourceError);
      expect(String(error)).toMatch(/503.*gave up after 3 tries/s);
      service.mishap = () => undefined;
      await soundAgain(rig);
    }));

  it("a server that ignores Range: SourceError with a remedy when the file is large", async () => {
    const large = new Uint8Array(9 * 1024 * 1024);
    large.set(makeGguf(gguf));
    const service = new Service({ ...folder, "model.gguf": large });
    service.ignoresRange = true;
    const hooks = { fetch: service.fetch, retryDelaysMs: [] };
    const { error } = await outcome(openModel(openFileSet(`${service.url}model.gguf`, hooks)));
    expect(error).toBeInstanceOf(SourceError);
    expect(String(error)).toMatch(/ignores Range.*8 MiB.*supports range requests/s);
    const { engine } = await device.engine(await openModel(openFileSet(service.url, hooks)), {
      contextLength: CONTEXT,
    });
    expect(bitDifference(await (await engine.createSession()).prefill(PROMPT), expected.bits[0]!)).toBe("");
    engine.dispose();
  });

  it("budgets and sessions that do not fit: BudgetError, and nothing changed", () =>
    withService(async (rig) => {
      const { engine, session } = rig;
      const before = engine.memory();
      expect((await outcome(engine.setBudget(smallest - 1))).error).toBeInstanceOf(BudgetError);
      expect((await outcome(engine.createSession(CONTEXT))).error).toBeInstanceOf(BudgetError);
      expect((await outcome(engine.createSession(0))).error).toBeInstanceOf(UsageError);
      expect((await outcome(engine.createSession(1.5))).error).toBeInstanceOf(UsageError);
      expect((await outcome(engine.createSession(10_000_000))).error).toBeInstanceOf(UsageError);
      expect(engine.memory()).toEqual(before);
      expect(session.kvBytes).toBeGreaterThan(0);
      await soundAgain(rig);
      expect(engine.stats().gpuBytesPeak).toBeLessThanOrEqual(smallest);
    }));

  it("an abort at any moment of a slow prefill, decode or generation: AbortError at once, the same bits after", () =>
    withService(async (rig) => {
      const { service, session, engine } = rig;
      const { int } = createRandom();
      const SLOW_MS = 2000;
      const abortedAfter = async (ms: number, run: (signal: AbortSignal) => Promise<unknown>) => {
        const stop = new AbortController();
        service.latencyMs = () => SLOW_MS;
        setTimeout(() => stop.abort(), ms);
        const result = await outcome(run(stop.signal));
        service.latencyMs = () => 0;
        return result;
      };
      for (const ms of [0, int(1, 20), int(20, 200)]) {
        const { error, ms: took } = await abortedAfter(ms, (signal) => session.prefill(PROMPT, signal));
        expect(error).toMatchObject({ name: "AbortError" });
        expect(took).toBeLessThan(SLOW_MS);
        expect(session.length).toBe(0);
      }
      expect(bitDifference(await session.prefill(PROMPT), expected.bits[0]!)).toBe("");
      let aborted = 0;
      for (const [step, id] of expected.ids.entries()) {
        const { error, ms } = await abortedAfter(int(0, 60), (signal) => session.decode(id, signal));
        if (error === undefined) continue;
        aborted += 1;
        expect(error).toMatchObject({ name: "AbortError" });
        expect(ms).toBeLessThan(SLOW_MS);
        expect(bitDifference(await session.decode(id), expected.bits[step + 1]!)).toBe("");
      }
      expect(aborted).toBeGreaterThan(0);
      session.rewind(PROMPT.length);
      const ids: number[] = [];
      const { error } = await abortedAfter(int(50, 300), async (signal) => {
        for await (const { id } of generate(session, { maxTokens: 40 }, [], () => signal)) ids.push(id);
      });
      expect(error).toMatchObject({ name: "AbortError" });
      expect(session.tokens).toEqual([...PROMPT, ...ids]);
      expect(ids).toEqual(expected.ids.slice(0, ids.length));
      expect((await outcome(session.prefill(PROMPT, AbortSignal.abort()))).error).toMatchObject({ name: "AbortError" });
      expect((await outcome(session.decode(1, AbortSignal.abort()))).error).toMatchObject({ name: "AbortError" });
      expect(session.length).toBe(PROMPT.length + ids.length);
      expect(engine.stats().stallMs).toBeGreaterThan(0);
      await soundAgain(rig);
    }));

  it("an abort while the weights load, and a file that ends in the middle of them, leave no buffer", async () => {
    const service = new Service(folder);
    const model = await openModel(openFileSet(service.url, { fetch: service.fetch, retryDelaysMs: [] }));
    for (const [what, mishap] of [
      ["abort", undefined],
      ["gone", 404],
    ] as const) {
      const gpu = await openGpu(navigator.gpu);
      const stop = new AbortController();
      const onProgress = (loaded: number) => {
        if (loaded === 0) return;
        if (what === "abort") stop.abort();
        else service.mishap = () => mishap;
      };
      const creating = Engine.create(gpu, model.weights, model.spec, { signal: stop.signal, onProgress });
      const { error } = await outcome(creating);
      expect(error).toMatchObject({ name: what === "abort" ? "AbortError" : "SourceError" });
      expect(gpu.ledger.byOwner()).toEqual({});
      gpu.destroy();
    }
  });

  it("a device that is lost in the middle of a step, and after: DeviceError, never a wait without end", async () => {
    const doomed = await openDevice();
    const service = new Service(folder);
    const model = await openModel(openFileSet(service.url, { fetch: service.fetch, retryDelaysMs: [] }));
    const { engine, gpu } = await doomed.engine(model, { contextLength: CONTEXT, gpuBudgetBytes: smallest });
    const session = await engine.createSession();
    service.latencyMs = () => 30;
    const running = outcome(session.prefill(PROMPT));
    setTimeout(() => doomed.close(), 100);
    const { error } = await running;
    expect(error).toBeInstanceOf(DeviceError);
    expect(String(error)).toMatch(/lost.*Load the model again/s);
    expect((await outcome(session.decode(1))).error).toBeInstanceOf(DeviceError);
    expect((await outcome(engine.createSession())).error).toBeInstanceOf(Error);
    expect(gpu.loss.error).toBeInstanceOf(DeviceError);
    engine.dispose();
    expect(gpu.ledger.byOwner()).toEqual({});
  });

  it("a step after the engine is disposed is a UsageError", async () => {
    const { engine } = await device.engine(await openModel(maiFolder("one-token-f32")), { contextLength: CONTEXT });
    const session = await engine.createSession();
    engine.dispose();
    expect((await outcome((async () => session.decode(1))())).error).toBeInstanceOf(UsageError);
    expect((await outcome(engine.createSession())).error).toBeInstanceOf(UsageError);
    expect((await outcome(engine.setBudget(smallest))).error).toBeInstanceOf(UsageError);
  });
});
