/** Values of foreign files in messages. */

const MAX_CHARACTERS = 80;

/** `value` as JSON, cut short; 64-bit integers of a GGUF are no JSON, and are shown as they are. */
export function show(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "bigint") return value.toString();
  const plain = (_key: string, item: unknown): unknown => (typeof item === "bigint" ? item.toString() : item);
  const text = JSON.stringify(value, plain) ?? typeof value;
  return text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}...` : text;
}
