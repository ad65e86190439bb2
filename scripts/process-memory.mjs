// Resident memory of a browser's processes by kind, from /proc: what a tab and its GPU work really take. Linux only.
import { readdirSync, readFileSync } from "node:fs";

/**
 * Bytes of one process: now, at its peak so far, and what of now is its own and not of files mapped into it.
 * @typedef {{ kind: string, resident: number, peak: number, own: number }} ProcessMemory
 */

/** @param {string} path */
function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // the process has ended meanwhile
  }
}

/**
 * `root` and all its descendants.
 * @param {number} root
 */
function tree(root) {
  /** @type {Map<number, number[]>} */
  const children = new Map();
  for (const name of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    const stat = read(`/proc/${name}/stat`);
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found = [root];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

/**
 * @param {number} root process id of the browser
 * @returns {ProcessMemory[]}
 */
export function browserMemory(root) {
  return tree(root).flatMap((pid) => {
    const status = read(`/proc/${pid}/status`);
    if (!status.includes("VmRSS")) return [];
    const bytes = (/** @type {string} */ key) =>
      Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0) * 1024;
    const kind = /--type=([\w-]+)/.exec(read(`/proc/${pid}/cmdline`))?.[1] ?? "browser";
    return [{ kind, resident: bytes("VmRSS"), peak: bytes("VmHWM"), own: bytes("RssAnon") + bytes("RssShmem") }];
  });
}

/**
 * Watches the browser's processes until stopped; gives the largest sum of renderer and GPU process seen at any moment,
 * and every kind's own peak, in bytes.
 * @param {number} root
 * @param {number} everyMs
 */
export function watchMemory(root, everyMs) {
  let together = 0;
  /** @type {Map<string, number>} */
  const peaks = new Map();
  const sample = () => {
    const processes = browserMemory(root);
    const sum = (/** @type {string} */ kind) =>
      processes.filter((each) => each.kind === kind).reduce((total, { resident }) => total + resident, 0);
    together = Math.max(together, sum("renderer") + sum("gpu-process"));
    for (const { kind, peak } of processes) peaks.set(kind, Math.max(peaks.get(kind) ?? 0, peak));
  };
  const timer = setInterval(sample, everyMs);
  return () => {
    clearInterval(timer);
    sample();
    return { together, peaks: Object.fromEntries(peaks) };
  };
}
