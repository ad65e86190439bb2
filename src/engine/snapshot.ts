/**
 * A session as bytes, to be kept and gone on with later: its tokens, how each was computed, and what its cache holds of
 * them. Reading and writing of the bytes only; `session-state.ts` moves them to and from the GPU.
 *
 * Layout, little-endian: "OCTAVOKV", version u32, length of the header u32, header (JSON, padded with spaces to whole
 * words), token ids u32 each, phases (0 prefill, 1 decode) a byte each, padded; then of every buffer of the cache the rows
 * in use, f32, position p in row p % capacity; SHA-256 of all before it, 32 bytes. With t computed tokens that is the
 * cache's bytes a token (`MemoryPlan.kvBytes` / context length for a model without windows) times t, and 5 t and some
 * hundreds of bytes more.
 */
import { FormatError, UsageError } from "../errors.ts";
import { DIGEST_BYTES, digest, sameBytes } from "../tiers/digest.ts";
import { alignUp } from "../util/math.ts";
import type { Phase, TimelineState } from "./timeline.ts";

/** One buffer of a cache: rows of `rowBytes`, of which the first `rows` are in use. */
export interface StoreShape {
  readonly rowBytes: number;
  readonly capacity: number;
  readonly rows: number;
}

export interface SnapshotState extends TimelineState {
  /** Digest of the model that computed it. */
  readonly model: string;
  readonly contextLength: number;
  readonly stores: readonly StoreShape[];
}

const MAGIC = new TextEncoder().encode("OCTAVOKV");
const VERSION = 1;
const HEAD_BYTES = MAGIC.length + 8;

/** A snapshot of `state` with room for the rows, which begin at `rowsAt`, and for the digest of `sealSnapshot`. */
export function layOutSnapshot(state: SnapshotState): { bytes: Uint8Array<ArrayBuffer>; rowsAt: number } {
  const { tokens, phases, ...rest } = state;
  const json = JSON.stringify({ ...rest, length: tokens.length });
  const header = new TextEncoder().encode(json.padEnd(alignUp(json.length, 4)));
  const tokensAt = HEAD_BYTES + header.length;
  const phasesAt = tokensAt + 4 * tokens.length;
  const rowsAt = alignUp(phasesAt + phases.length, 4);
  const bytes = new Uint8Array(rowsAt + rowsBytes(state.stores) + DIGEST_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint32(MAGIC.length, VERSION, true);
  view.setUint32(MAGIC.length + 4, header.length, true);
  bytes.set(header, HEAD_BYTES);
  for (const [i, token] of tokens.entries()) view.setUint32(tokensAt + 4 * i, token, true);
  for (const [i, phase] of phases.entries()) bytes[phasesAt + i] = phase === "decode" ? 1 : 0;
  return { bytes, rowsAt };
}

/** Puts the digest at the end. */
export async function sealSnapshot(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const end = bytes.length - DIGEST_BYTES;
  bytes.set(await digest(bytes.subarray(0, end)), end);
}

/** @throws FormatError for bytes that are no snapshot, of another version, cut short or damaged. */
export async function readSnapshot(
  bytes: Uint8Array<ArrayBuffer>,
): Promise<{ readonly state: SnapshotState; readonly rowsAt: number }> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEAD_BYTES + DIGEST_BYTES || !sameBytes(bytes.subarray(0, MAGIC.length), MAGIC)) {
    throw new FormatError(`A session snapshot was expected; these ${bytes.length} bytes do not begin like one.`);
  }
  const version = view.getUint32(MAGIC.length, true);
  if (version !== VERSION) {
    throw new FormatError(`The session snapshot is of version ${version}; this Octavo reads ${VERSION}. Save it anew.`);
  }
  const end = bytes.length - DIGEST_BYTES;
  if (!sameBytes(await digest(bytes.subarray(0, end)), bytes.subarray(end))) {
    throw new FormatError(`The session snapshot of ${bytes.length} bytes is cut short or damaged: its digest differs.`);
  }
  // From here on the bytes are what `layOutSnapshot` wrote.
  const tokensAt = HEAD_BYTES + view.getUint32(MAGIC.length + 4, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(HEAD_BYTES, tokensAt))) as Omit<
    SnapshotState,
    "tokens" | "phases"
  > & { length: number };
  const { length, ...rest } = header;
  const tokens = Array.from({ length }, (_, i) => view.getUint32(tokensAt + 4 * i, true));
  const phasesAt = tokensAt + 4 * length;
  const phases = Array.from({ length }, (_, i): Phase => (bytes[phasesAt + i] === 1 ? "decode" : "prefill"));
  return { state: { ...rest, tokens, phases }, rowsAt: alignUp(phasesAt + length, 4) };
}

/** @throws UsageError for a snapshot that another model made, or another way of cutting its cache. */
export function checkSnapshot(state: SnapshotState, model: string, contextLength: number | undefined): void {
  if (state.model !== model) {
    throw new UsageError(
      "The session snapshot is of another model: other weights, another storage type or another specification. Restore " +
        "it into the model that saved it.",
    );
  }
  if (contextLength !== undefined && contextLength !== state.contextLength) {
    throw new UsageError(
      `The session snapshot has a context of ${state.contextLength} tokens, and contextLength is ${contextLength}: leave ` +
        "it out, or give the same.",
    );
  }
}

/** @throws UsageError when the cache is cut otherwise than the snapshot's. */
export function checkStores(saved: readonly StoreShape[], now: readonly Omit<StoreShape, "rows">[]): void {
  const same = ({ rowBytes, capacity }: StoreShape, i: number) =>
    rowBytes === now[i]?.rowBytes && capacity === now[i]?.capacity;
  if (saved.length === now.length && saved.every(same)) return;
  throw new UsageError(
    "The session snapshot's cache is cut otherwise than this model's: it was saved with other settings (prefillChunk).",
  );
}

function rowsBytes(stores: readonly StoreShape[]): number {
  return stores.reduce((sum, { rowBytes, rows }) => sum + rowBytes * rows, 0);
}
