/** The few file operations that the disk cache is built on. `opfs-store.ts` has them in a browser; tests have others. */

/** One open file, held exclusively. Offsets and sizes in bytes. Nothing is durable before `flush`. */
export interface StoreFile {
  size(): number;
  /** Fills `target` from `offset`, as far as the file goes. @returns bytes read. */
  read(offset: number, target: Uint8Array<ArrayBuffer>): number;
  /** Writes all of `bytes`, or throws; a write behind the end fills the gap with zeros. */
  write(offset: number, bytes: Uint8Array<ArrayBuffer>): void;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

/** The files of one model. */
export interface BlockStore {
  /** Opens `name`, made empty if it is not there. @throws when it cannot be held exclusively. */
  open(name: string): Promise<StoreFile>;
}
