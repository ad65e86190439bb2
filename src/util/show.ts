/** Values of foreign files in messages. */

const MAX_CHARACTERS = 80;

/** `value` as JSON, cut short. Never throws, whatever a forged file holds: nesting beyond the stack, 64-bit integers. */
export function show(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = json(value) ?? typeof value;
  return text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}...` : text;
}

function json(value: unknown): string | undefined {
  const plain = (_key: string, item: unknown): unknown => (typeof item === "bigint" ? item.toString() : item);
  if (typeof value === "bigint") return value.toString();
  try {
    return JSON.stringify(value, plain);
  } catch {
    return Array.isArray(value) ? "an array too deep to show" : "an object too deep to show";
  }
}
