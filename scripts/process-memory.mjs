// Resident memory of a browser's processes by kind, from /proc: what a tab and its GPU work really take. Linux only.
import { readdirSync, readFileSync } from "node:fs";

/**
 * Resident bytes of one process, files mapped into it included: now, and at its peak so far.
 * @typedef {{ kind: string, resident: number, peak: number }} ProcessMemory
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
    return [{ kind, resident: bytes("VmRSS"), peak: bytes("VmHWM") }];
  });
}

/**
 * Watches the browser's processes until stopped. Peaks are in bytes: of the tab's renderer and the GPU process together at
 * any moment that was looked at, and of every kind's largest process by itself. A browser keeps an empty renderer in
 * reserve; the tab's is the largest.
 * @param {number} root
 * @param {number} everyMs
 */
export function watchMemory(root, everyMs) {
  let together = 0;
  /** @type {Map<string, number>} */
  const peaks = new Map();
  const look = () => {
    const processes = browserMemory(root);
    const largest = (/** @type {string} */ kind) =>
      Math.max(0, ...processes.filter((each) => each.kind === kind).map(({ resident }) => resident));
    const now = largest("renderer") + largest("gpu-process");
    together = Math.max(together, now);
    for (const { kind, peak } of processes) peaks.set(kind, Math.max(peaks.get(kind) ?? 0, peak));
    return now;
  };
  const timer = setInterval(look, everyMs);
  return {
    /** Renderer and GPU process now. */
    now: look,
    peaks: () => ({ together, each: Object.fromEntries(peaks) }),
    stop: () => clearInterval(timer),
  };
}
