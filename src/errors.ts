/**
 * The named errors of Octavo. A class says whose fault it is, `code` what happened as far as a page would act on it, and
 * `details` carries the numbers. All of it, the chain of causes included, crosses the worker's border
 * (`src/util/error-border.ts`). Every message says what was expected, what came, and what to do when something can be
 * done. An abort is not among them: it is the platform's `AbortError`, for which `errorCode` says "aborted".
 *
 * | class | code | when | details |
 * |---|---|---|---|
 * | `FormatError` | `format` | a checkpoint's bytes contradict its format | |
 * | `UnsupportedError` | `unsupported` | the checkpoint is sound, but Octavo does not do what it asks for | |
 * | | `no-tokenizer` | it has no tokenizer: work with token ids | |
 * | | `no-chat-template` | it has no chat template: continue text, or give one | |
 * | `SourceError` | `source` | an answer or a file that cannot be used | `source` |
 * | | `network` | no answer, or a connection that kept breaking | `source`, `tries` |
 * | | `offline` | the same, while the browser says that it is offline | `source`, `tries` |
 * | | `http-401`, `http-403`, `http-404` | not allowed without a token, not allowed, not there | `source`, `status` |
 * | | `http-status` | any other status, after retries where those make sense | `source`, `status`, `tries` |
 * | | `range-ignored` | the server does not serve byte ranges | `source` |
 * | | `file-changed` | the file is another one than when loading began: load again | `source` |
 * | | `file-unreadable` | a picked file was changed, moved, or taken away: pick it again | `source` |
 * | | `worker-stopped` | the worker that reads died | |
 * | `BudgetError` | `budget-too-small` | the GPU budget cannot hold what was asked | `smallestBytes`, `budgetBytes` |
 * | | `bindings-too-small` | no budget helps: the device binds too little at once | `maxBindingBytes` |
 * | `DeviceError` | `device` | anything else that the GPU refused | |
 * | | `no-webgpu`, `no-adapter`, `no-device` | how far the way to a device led | |
 * | | `out-of-memory` | the GPU refused memory: a smaller budget may do | |
 * | | `device-lost` | the device went away | |
 * | | `shader` | a kernel does not compile here | |
 * | | `worker-stopped` | the engine's worker died, or its script did not load | |
 * | `UsageError` | `usage` | the caller's mistake | |
 * | | `disposed` | a model or session was used after its end | |
 * | | `context-full` | the timeline is longer than its context | `contextLength` |
 * | | `messages-refused` | the chat template does not take these messages | |
 */

/** Codes of `UnsupportedError`. */
export type UnsupportedCode = "unsupported" | "no-tokenizer" | "no-chat-template";
/** Codes of `SourceError`. */
export type SourceCode =
  | "source"
  | "network"
  | "offline"
  | "http-401"
  | "http-403"
  | "http-404"
  | "http-status"
  | "range-ignored"
  | "file-changed"
  | "file-unreadable"
  | "worker-stopped";
/** Codes of `BudgetError`. */
export type BudgetCode = "budget-too-small" | "bindings-too-small";
/** Codes of `DeviceError`. */
export type DeviceCode =
  | "device"
  | "no-webgpu"
  | "no-adapter"
  | "no-device"
  | "out-of-memory"
  | "device-lost"
  | "shader"
  | "worker-stopped";
/** Codes of `UsageError`. */
export type UsageCode = "usage" | "disposed" | "context-full" | "messages-refused";

/** Stable: a page may branch on these; messages may change. */
export type ErrorCode = "octavo" | "format" | UnsupportedCode | SourceCode | BudgetCode | DeviceCode | UsageCode;

/** What is known beside the message; the table above says which code comes with what. Plain values only. */
export interface ErrorDetails {
  /** Address without its query, name of a file, or `owner/name`. */
  readonly source?: string;
  /** HTTP status. */
  readonly status?: number;
  /** Requests made before giving up. */
  readonly tries?: number;
  /** Smallest GPU budget that works, and the one that was given. */
  readonly smallestBytes?: number;
  readonly budgetBytes?: number;
  /** Largest storage binding of the device. */
  readonly maxBindingBytes?: number;
  /** Tokens that the context of the session holds. */
  readonly contextLength?: number;
}

/** What a thrower adds to a message. */
export interface ErrorMore<Code extends ErrorCode = ErrorCode> {
  /** Default: the class's first in the table above. */
  readonly code?: Code | undefined;
  readonly details?: ErrorDetails | undefined;
  /** The error behind this one. */
  readonly cause?: unknown;
}

/** What every named error of Octavo is; thrown as one of the classes below. */
export class OctavoError extends Error {
  override name = "OctavoError";
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(message: string, { code = "octavo", details = {}, cause }: ErrorMore = {}) {
    super(message, cause === undefined ? {} : { cause });
    this.code = code;
    this.details = details;
  }
}

/** A checkpoint's bytes contradict its format: bad header, offset past the file, missing tensor, wrong shape. */
export class FormatError extends OctavoError {
  override name = "FormatError";
  declare readonly code: "format";

  constructor(message: string, more: ErrorMore<"format"> = {}) {
    super(message, { code: "format", ...more });
  }
}

/** The checkpoint is sound but asks for something that Octavo does not do: architecture, storage type, option. */
export class UnsupportedError extends OctavoError {
  override name = "UnsupportedError";
  declare readonly code: UnsupportedCode;

  constructor(message: string, more: ErrorMore<UnsupportedCode> = {}) {
    super(message, { code: "unsupported", ...more });
  }
}

/** Bytes could not be had: 404, a server that ignores ranges, a connection that died after retries. */
export class SourceError extends OctavoError {
  override name = "SourceError";
  declare readonly code: SourceCode;

  constructor(message: string, more: ErrorMore<SourceCode> = {}) {
    super(message, { code: "source", ...more });
  }
}

/** The GPU byte budget cannot hold what was asked; `details.smallestBytes` is the smallest budget that can. */
export class BudgetError extends OctavoError {
  override name = "BudgetError";
  declare readonly code: BudgetCode;

  constructor(message: string, more: ErrorMore<BudgetCode> = {}) {
    super(message, { code: "budget-too-small", ...more });
  }
}

/** No WebGPU, no adapter, a shader that does not compile, memory refused by the driver, or a lost device. */
export class DeviceError extends OctavoError {
  override name = "DeviceError";
  declare readonly code: DeviceCode;

  constructor(message: string, more: ErrorMore<DeviceCode> = {}) {
    super(message, { code: "device", ...more });
  }
}

/** The caller's mistake: an argument out of range, a token id beyond the vocabulary, a disposed object. */
export class UsageError extends OctavoError {
  override name = "UsageError";
  declare readonly code: UsageCode;

  constructor(message: string, more: ErrorMore<UsageCode> = {}) {
    super(message, { code: "usage", ...more });
  }
}

/**
 * What happened, for a page that acts on it: the `code` of an Octavo error, "aborted" for an `AbortError`, `undefined` for
 * anything else.
 */
export function errorCode(error: unknown): ErrorCode | "aborted" | undefined {
  if (error instanceof OctavoError) return error.code;
  return error instanceof Error && error.name === "AbortError" ? "aborted" : undefined;
}

/** An error as plain data, as it crosses a border. */
export interface PackedError {
  readonly name: string;
  readonly message: string;
  readonly stack?: string | undefined;
  /** Made by the platform as a `DOMException`, whose class has no subclasses by name. */
  readonly platform?: boolean;
  readonly code?: ErrorCode;
  readonly details?: ErrorDetails;
  readonly cause?: { readonly error: PackedError } | { readonly value: string };
}

/** Causes of causes that cross; a ring of them ends here too. */
const MAX_CAUSES = 8;

/** `error` as plain data, its causes with it. */
export function packError(error: Error, depth = 0): PackedError {
  const { name, message, stack, cause } = error;
  const own = error instanceof OctavoError ? { code: error.code, details: { ...error.details } } : {};
  const platform = error instanceof DOMException ? { platform: true } : {};
  const packed = { name, message, stack, ...own, ...platform };
  if (cause === undefined || depth >= MAX_CAUSES) return packed;
  return {
    ...packed,
    cause: cause instanceof Error ? { error: packError(cause, depth + 1) } : { value: String(cause) },
  };
}

// Keyed by the name that crosses the border: a minifier renames classes, not keys.
const CLASSES: Readonly<Record<string, new (message: string, more: ErrorMore<never>) => OctavoError>> = {
  OctavoError,
  FormatError,
  UnsupportedError,
  SourceError,
  BudgetError,
  DeviceError,
  UsageError,
};
const BUILT_IN: Readonly<Record<string, new (message: string) => Error>> = { TypeError, RangeError, SyntaxError };

/** The error that `packError` packed: same class, message, stack, code, details and causes. */
export function unpackError(packed: PackedError): Error {
  const error = instanceOf(packed);
  if (packed.stack !== undefined) Object.defineProperty(error, "stack", property(packed.stack));
  if (packed.cause) {
    const cause = "error" in packed.cause ? unpackError(packed.cause.error) : packed.cause.value;
    Object.defineProperty(error, "cause", property(cause));
  }
  return error;
}

function instanceOf({ name, message, platform, code, details }: PackedError): Error {
  if (platform) return new DOMException(message, name);
  const Class = CLASSES[name];
  if (Class) return new Class(message, { code, details } as ErrorMore<never>);
  const error = new (BUILT_IN[name] ?? Error)(message);
  error.name = name;
  return error;
}

/** As `Error` itself makes its own: not shown when the error is listed. */
function property(value: unknown): PropertyDescriptor {
  return { value, writable: true, configurable: true, enumerable: false };
}
