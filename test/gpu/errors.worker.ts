/** Throws errors of every class over a real worker's border, as the engine's worker does. */
import { expose } from "comlink";
import * as errors from "../../src/errors.ts";
import { carryErrorsWhole } from "../../src/util/error-border.ts";

const { OctavoError, FormatError, UnsupportedError, SourceError, BudgetError, DeviceError, UsageError } = errors;
const MAKERS = {
  OctavoError: (cause: unknown) => new OctavoError("octavo", { cause }),
  FormatError: (cause: unknown) => new FormatError("format", { cause }),
  UnsupportedError: (cause: unknown) => new UnsupportedError("unsupported", { code: "no-tokenizer", cause }),
  SourceError: (cause: unknown) => new SourceError("source", { code: "http-404", details: { status: 404 }, cause }),
  BudgetError: (cause: unknown) => new BudgetError("budget", { details: { smallestBytes: 7, budgetBytes: 5 }, cause }),
  DeviceError: (cause: unknown) => new DeviceError("device", { code: "device-lost", cause }),
  UsageError: (cause: unknown) => new UsageError("usage", { code: "context-full", cause }),
};

const api = {
  fail(name: keyof typeof MAKERS): void {
    throw MAKERS[name](new TypeError("behind it", { cause: new DOMException("full", "QuotaExceededError") }));
  },
  abort(): void {
    throw new DOMException("stopped", "AbortError");
  },
};
export type ErrorsApi = typeof api;

carryErrorsWhole();
expose(api);
