/** The border between the engine's worker and the I/O worker: plain values, no signals; `cancel(callId)` stands for those. */

import type { WireSource } from "../src/client/model-source.ts";
import type { SourceCounts } from "../src/engine/counters.ts";
import type { ExpertLayer } from "../src/tiers/expert-files.ts";
import type { ReadPriority } from "../src/tiers/read-expert.ts";

export type Source = WireSource;

export interface IoOptions {
  readonly cache: boolean;
  readonly diskQuotaBytes?: number | undefined;
  readonly stallTimeoutMs?: number | undefined;
}

/** Bytes, with what was counted up to them: so that the engine's counters are right whenever it is asked. */
export interface Answer {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly counts: Partial<SourceCounts>;
}

/** A file of the model, under its number. */
export interface OpenedFile {
  readonly file: number;
  readonly label: string;
  readonly size: number;
}

export interface IoApi {
  open(source: Source, options: IoOptions, callId: number): Promise<{ label: string; entry: string | undefined }>;
  openFile(name: string, callId: number): Promise<OpenedFile | undefined>;
  read(file: number, offset: number, length: number, callId: number): Promise<Answer>;
  /** Says where the experts are. Gives, per MoE layer, those on disk that earlier visits used, the most used first. */
  setExperts(layers: readonly ExpertLayer[]): Promise<number[][]>;
  readExpert(layer: number, expert: number, priority: ReadPriority, callId: number): Promise<Answer>;
  /** Makes the expert, if it is being read, as urgent as a demand. */
  raiseExpert(layer: number, expert: number): Promise<void>;
  noteUses(uses: Uint32Array<ArrayBuffer>): Promise<void>;
  setFill(on: boolean): Promise<void>;
  /** All of the counts. */
  counts(): Promise<SourceCounts>;
  cancel(callId: number): Promise<void>;
  /** Stores what is on its way and lets go of the files. */
  close(): Promise<void>;
}
