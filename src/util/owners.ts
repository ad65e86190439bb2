/**
 * Large buffers that several have in hand, given back at once when the last is done. A garbage collector takes its time
 * with them: of experts that only pass through, hundreds of megabytes wait for it.
 */
export class Owners {
  readonly #counts = new WeakMap<ArrayBuffer, number>();

  /** One more has the memory behind `bytes`. Whoever never says `done` keeps it from being given back: then it is collected. */
  add({ buffer }: Uint8Array<ArrayBuffer>): void {
    this.#counts.set(buffer, (this.#counts.get(buffer) ?? 0) + 1);
  }

  /** One fewer. Behind the last, every view of that memory is empty. */
  done(bytes: Uint8Array<ArrayBuffer>): void {
    const left = (this.#counts.get(bytes.buffer) ?? 0) - 1;
    this.#counts.set(bytes.buffer, left);
    if (left === 0) freeBytes(bytes);
  }
}

/**
 * A port that nobody listens at. What is transferred to it is gone at once; `ArrayBuffer.transfer` is not enough where a
 * browser's own interfaces have seen the buffer: Chromium keeps the memory then, and no longer counts it as a reason to
 * collect, so that a page grows by more than if the buffers were left alone.
 */
let nowhere: MessagePort | undefined;

function portToNowhere(): MessagePort {
  const { port1, port2 } = new MessageChannel();
  port2.close();
  return port1;
}

/** Gives the memory behind `bytes` back: every view of it is empty from then on. */
export function freeBytes({ buffer }: Uint8Array<ArrayBuffer>): void {
  nowhere ??= portToNowhere();
  if (buffer.byteLength > 0) nowhere.postMessage(undefined, [buffer]);
}
