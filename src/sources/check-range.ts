/** The one bounds check that every source makes before it reads. */
import { SourceError } from "../errors.ts";

/** @throws SourceError unless `offset` and `length` are natural numbers and the range lies within `size` bytes. */
export function checkRange(label: string, size: number, offset: number, length: number): void {
  const valid = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (valid && offset + length <= size) return;
  throw new SourceError(
    `${label}: bytes ${offset} to ${offset + length} were asked for, but the file has ${size} bytes`,
    { details: { source: label } },
  );
}
