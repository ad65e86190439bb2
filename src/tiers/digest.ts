/** SHA-256 by WebCrypto: native, off the calling thread, in every secure context and in Node. */

export const DIGEST_BYTES = 32;

export async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/** The digest of `text` as hexadecimal. */
export async function hexDigest(text: string): Promise<string> {
  return toHex(await digest(new TextEncoder().encode(text)));
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
