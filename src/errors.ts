/**
 * The named errors of Octavo. They are told apart by `name`, because that, the message and the stack are all that
 * survives a worker border; nothing needed may live in another field. Every message says what was expected, what
 * came, and what to do when something can be done. An abort is not among them: it is the platform's `AbortError`.
 */
export class OctavoError extends Error {
  override name = "OctavoError";
}

/** A checkpoint's bytes contradict its format: bad header, offset past the file, missing tensor, wrong shape. */
export class FormatError extends OctavoError {
  override name = "FormatError";
}

/** The checkpoint is sound but asks for something that Octavo does not do: architecture, storage type, option. */
export class UnsupportedError extends OctavoError {
  override name = "UnsupportedError";
}

/** Bytes could not be had: 404, a server that ignores ranges, a connection that died after retries. */
export class SourceError extends OctavoError {
  override name = "SourceError";
}

/** The GPU byte budget cannot hold what was asked; the message names the smallest budget that can. */
export class BudgetError extends OctavoError {
  override name = "BudgetError";
}

/** No WebGPU, no adapter, a shader that does not compile, memory refused by the driver, or a lost device. */
export class DeviceError extends OctavoError {
  override name = "DeviceError";
}

/** The caller's mistake: an argument out of range, a token id beyond the vocabulary, a disposed object. */
export class UsageError extends OctavoError {
  override name = "UsageError";
}

// Keyed by the name that crosses the border: a minifier renames classes, not keys.
const CLASSES: Readonly<Record<string, new (message: string) => OctavoError>> = {
  OctavoError,
  FormatError,
  UnsupportedError,
  SourceError,
  BudgetError,
  DeviceError,
  UsageError,
};

/** Rebuilds the class of an error that crossed a worker border from its `name`; an `AbortError` becomes a `DOMException`. */
export function rebuildError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof OctavoError) return error;
  if (error.name === "AbortError") return new DOMException(error.message, "AbortError");
  const Class = CLASSES[error.name];
  if (!Class) return error;
  const rebuilt = new Class(error.message);
  if (error.stack !== undefined) rebuilt.stack = error.stack;
  return rebuilt;
}
