/**
 * Errors across a worker's border, whole. Comlink by itself carries name, message and stack of what was thrown; this puts
 * `packError` and `unpackError` in its place. Both sides of a border have to call it.
 */
import { type TransferHandler, transferHandlers } from "comlink";
import { type PackedError, packError, unpackError } from "../errors.ts";

/** Something that comlink caught on the side where it was thrown. */
interface Thrown {
  readonly value: unknown;
}

/** What crosses: an error as plain data, or a thrown value that is none. */
type Crossing = { readonly error: PackedError } | { readonly value: unknown };

/** Sets this realm's comlink to carry errors whole. Calling it again changes nothing. */
export function carryErrorsWhole(): void {
  const own = transferHandlers.get("throw") as TransferHandler<Thrown, unknown> | undefined;
  if (!own) throw new TypeError("comlink has no handler for what is thrown; its version is not the one expected");
  const whole: TransferHandler<Thrown, Crossing> = {
    canHandle: own.canHandle, // knows comlink's private mark
    serialize: ({ value }) => [value instanceof Error ? { error: packError(value) } : { value }, []],
    deserialize: (crossing) => {
      throw "error" in crossing ? unpackError(crossing.error) : crossing.value;
    },
  };
  transferHandlers.set("throw", whole);
}
