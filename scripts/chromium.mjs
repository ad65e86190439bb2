// Finds, or installs, the Chromium that the GPU and e2e tests drive, and holds the flags it is started with.
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, realpathSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { chromium } from "playwright";

const SYSTEM_NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const MAC_CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";
// A machine without a way to the download host must fall through to its own packages soon, not after minutes of retries.
const DOWNLOAD_LIMIT_MS = 120_000;
const PROBE_LIMIT_MS = 20_000;
const APT_LIMIT_MS = 300_000;

export const REMEDY =
  "No Chromium found. Set CHROMIUM_PATH to a Chrome or Chromium binary, or run `npx playwright install chromium`, " +
  "or install your system's package (Debian: `apt-get install chromium`).";

/** Start flags shared by the vitest GPU tier, the e2e harness and the scripts that measure; `CHROMIUM_FLAGS` adds some. */
export const CHROMIUM_ARGS = [
  "--no-sandbox", // CI runs as root, where Chromium's sandbox refuses to start
  "--enable-unsafe-webgpu", // lets WebGPU run on the software adapter (SwiftShader) where there is no GPU
  // The rest keeps a browser under test off the network and free of first-run pages.
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-quic",
  "--no-first-run",
  // What a machine needs beside these, such as `--use-angle=vulkan --enable-features=Vulkan` for a GPU without a display.
  ...(process.env.CHROMIUM_FLAGS ?? "").split(" ").filter(Boolean),
];

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** @param {string} name */
function onPath(name) {
  const folders = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/**
 * Whether the binary finds its shared libraries: playwright's download comes without them, the system's package with.
 * @param {string} path
 */
function starts(path) {
  return spawnSync(path, ["--version"], { timeout: PROBE_LIMIT_MS }).status === 0;
}

/**
 * Path of a Chromium on this machine: `CHROMIUM_PATH`, then playwright's own, then the system's.
 * @returns {string | undefined}
 */
export function findChromium() {
  const chosen = process.env.CHROMIUM_PATH;
  if (chosen) {
    if (!isExecutable(chosen)) throw new Error(`CHROMIUM_PATH is set to ${chosen}, which is not an executable file.`);
    return chosen;
  }
  const own = chromium.executablePath();
  if (existsSync(own) && starts(own)) return own;
  for (const name of SYSTEM_NAMES) {
    const path = onPath(name);
    if (path) return path;
  }
  return isExecutable(MAC_CHROME) ? MAC_CHROME : undefined;
}

/**
 * Environment in which Dawn in Node finds an adapter where the system has no Vulkan: the loader and SwiftShader that a
 * Chromium on Linux brings along. Empty where there are none; then the system's own drivers are asked.
 * @returns {Record<string, string>}
 */
export function softwareVulkan() {
  const chromium = findChromium();
  const folders = [
    ...(chromium ? [dirname(realpathSync(chromium))] : []),
    "/usr/lib/chromium",
    "/usr/lib/chromium-browser",
  ];
  const folder = folders.find((name) =>
    ["libvulkan.so.1", "vk_swiftshader_icd.json"].every((file) => existsSync(join(name, file))),
  );
  if (process.platform !== "linux" || !folder) return {};
  return { LD_LIBRARY_PATH: folder, VK_ICD_FILENAMES: join(folder, "vk_swiftshader_icd.json") };
}

/**
 * @param {string} command
 * @param {string[]} args
 * @param {number} timeout
 */
function run(command, args, timeout) {
  console.log(`> ${command} ${args.join(" ")}`);
  const env = {
    ...process.env,
    DEBIAN_FRONTEND: "noninteractive",
    PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT: String(PROBE_LIMIT_MS),
  };
  return spawnSync(command, args, { stdio: "inherit", timeout, killSignal: "SIGKILL", env }).status === 0;
}

function installWithApt() {
  const apt = onPath("apt-get");
  if (!apt) return false;
  const isRoot = process.getuid?.() === 0;
  const sudo = onPath("sudo");
  if (!isRoot && !sudo) return false;
  // `-n`: a sudo that would ask for a password fails at once; a test run must not wait for a keyboard.
  const prefix = isRoot ? [] : [sudo ?? "sudo", "-n"];
  const [command = apt, ...rest] = [...prefix, apt];
  run(command, [...rest, "update"], APT_LIMIT_MS);
  return run(command, [...rest, "install", "-y", "chromium"], APT_LIMIT_MS);
}

/**
 * Path of a Chromium, installed first if there is none. Throws an error that names the remedy when that fails.
 * @returns {string}
 */
export function ensureChromium() {
  const found = findChromium();
  if (found) return found;
  console.log("No Chromium found; installing one.");
  run(process.execPath, ["node_modules/playwright/cli.js", "install", "chromium"], DOWNLOAD_LIMIT_MS);
  const downloaded = findChromium();
  if (downloaded) return downloaded;
  installWithApt();
  const installed = findChromium();
  if (!installed) throw new Error(REMEDY);
  return installed;
}
