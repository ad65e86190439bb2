/** Names of files inside a folder: what may be asked of a file set, and how to compare. */

/** A relative name that stays inside its folder: no scheme, no leading slash, no `..`, no backslash, no control. */
export function isSafeFileName(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (name === "" || name.length > 1024 || /[\\:\u0000-\u001f]/.test(name)) return false;
  return name.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}

/** The part after the last slash. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Whether `name` is that of a GGUF file. */
export function isGgufName(name: string): boolean {
  return name.toLowerCase().endsWith(".gguf");
}

/** `model-00002-of-00003.gguf` taken apart, or `undefined` when the name is not that of a split file. */
export function parseSplitName(name: string): { prefix: string; index: number; count: number } | undefined {
  const match = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i.exec(name);
  if (!match) return undefined;
  return { prefix: match[1] ?? "", index: Number(match[2]), count: Number(match[3]) };
}

/** The name of shard `index` (from 1) of `count`. */
export function splitName(prefix: string, index: number, count: number): string {
  const digits = (value: number): string => value.toString().padStart(5, "0");
  return `${prefix}-${digits(index)}-of-${digits(count)}.gguf`;
}
