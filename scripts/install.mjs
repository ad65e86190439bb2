// Installs the dependencies when node_modules is missing or is not what package-lock.json says. Needs only Node and npm.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));

/**
 * @param {string} path
 * @returns {Record<string, { version?: string, optional?: boolean }>}
 */
function lockedPackages(path) {
  return JSON.parse(readFileSync(`${ROOT}/${path}`, "utf8")).packages;
}

/**
 * Whether every package of the lock file of `folder` is installed in that version; optional ones are for other systems.
 * @param {string} [folder] repository-relative
 */
export function dependenciesAreFresh(folder = ".") {
  try {
    const installed = lockedPackages(`${folder}/node_modules/.package-lock.json`);
    return Object.entries(lockedPackages(`${folder}/package-lock.json`)).every(
      ([path, { version, optional }]) => path === "" || optional || installed[path]?.version === version,
    );
  } catch {
    return false; // no node_modules, or one that npm did not write
  }
}

/**
 * Runs `npm ci` when it is needed; throws when that fails.
 * @param {string} [folder] repository-relative
 */
export function ensureDependencies(folder = ".") {
  if (dependenciesAreFresh(folder)) return;
  console.log(folder === "." ? "> npm ci" : `> npm ci, in ${folder}`);
  // npm is a .cmd file on Windows, which only a shell can start.
  const { status } = spawnSync("npm", ["ci"], {
    cwd: `${ROOT}/${folder}`,
    stdio: "inherit",
    shell: process.platform === "win32",
  });
  if (status !== 0) throw new Error("npm ci failed; see its output above.");
}
