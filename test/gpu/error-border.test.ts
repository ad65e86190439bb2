/** Errors cross a real worker whole: class, code, details, message, stack and chain of causes. */
import { type Remote, wrap } from "comlink";
import { afterAll, describe, expect, it } from "vitest";
import {
  BudgetError,
  DeviceError,
  errorCode,
  FormatError,
  loadModel,
  OctavoError,
  SourceError,
  UnsupportedError,
  UsageError,
} from "../../src/index.ts";
import { carryErrorsWhole } from "../../src/util/error-border.ts";
import type { ErrorsApi } from "./errors.worker.ts";
import { fetchFolder } from "./service.ts";

const caught = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "nothing thrown",
    (error: unknown) => error,
  );

describe("a worker that throws", () => {
  carryErrorsWhole();
  const worker = new Worker(new URL("./errors.worker.ts", import.meta.url), { type: "module" });
  const remote: Remote<ErrorsApi> = wrap<ErrorsApi>(worker);
  afterAll(() => worker.terminate());

  it.each([
    [OctavoError, "octavo", {}],
    [FormatError, "format", {}],
    [UnsupportedError, "no-tokenizer", {}],
    [SourceError, "http-404", { status: 404 }],
    [BudgetError, "budget-too-small", { smallestBytes: 7, budgetBytes: 5 }],
    [DeviceError, "device-lost", {}],
    [UsageError, "context-full", {}],
  ] as const)("$0.name", async (Class, code, details) => {
    const error = await caught(remote.fail(Class.name as Parameters<ErrorsApi["fail"]>[0]));
    expect(error).toBeInstanceOf(Class);
    expect(error).toBeInstanceOf(OctavoError);
    expect(error).toMatchObject({ name: Class.name, code, details, stack: expect.stringContaining("errors.worker") });
    const cause = (error as Error).cause;
    expect(cause).toBeInstanceOf(TypeError);
    expect((cause as Error).cause).toBeInstanceOf(DOMException);
    expect((cause as Error).cause).toMatchObject({ name: "QuotaExceededError", message: "full" });
  });

  it("an abort is the platform's", async () => {
    const error = await caught(remote.abort());
    expect(error).toBeInstanceOf(DOMException);
    expect(errorCode(error)).toBe("aborted");
  });
});

describe("the engine's worker", () => {
  it("a missing file, from the I/O worker through the engine's", async () => {
    const url = `${location.origin}/test/fixtures/mai/nowhere/model.gguf`;
    const error = await caught(loadModel(url));
    expect(error).toBeInstanceOf(SourceError);
    expect(error).toMatchObject({ code: "http-404", details: { source: url, status: 404 } });
  });

  it("a budget too small names the smallest, which works; no tokenizer, a full context and an end have their codes", async () => {
    const files = Object.entries(await fetchFolder("one-token-f32")).map(([name, bytes]) => ({ name, bytes }));
    const load = (gpuBudgetBytes: number) => loadModel(files, { gpuBudgetBytes, contextLength: 8 });
    const error = await caught(load(1000));
    expect(error).toBeInstanceOf(BudgetError);
    const { smallestBytes = 0, budgetBytes } = (error as BudgetError).details;
    expect(budgetBytes).toBe(1000);
    const model = await load(smallestBytes);
    expect(await caught(model.encode("Once"))).toMatchObject({ name: "UnsupportedError", code: "no-tokenizer" });
    const session = await model.createSession({ contextLength: 8 });
    const full = await caught(session.prefill([1, 2, 3, 4, 5, 6, 7, 8, 9]));
    expect(full).toMatchObject({ name: "UsageError", code: "context-full", details: { contextLength: 8 } });
    await model.dispose();
    expect(await caught(model.stats())).toMatchObject({ name: "UsageError", code: "disposed" });
  });
});
