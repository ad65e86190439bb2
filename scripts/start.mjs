// `npm start`: builds everything and serves the built demo on this machine, with byte ranges, until Ctrl-C.
import { build } from "./build.mjs";
import { ensureDependencies, ROOT } from "./install.mjs";

const PORT = 4173; // where it is taken, the next free one

function hasScreen() {
  if (process.env.CI || !process.stdout.isTTY) return false;
  if (process.platform !== "linux") return true;
  return Boolean(process.env.DISPLAY || process.env.WAYLAND_DISPLAY);
}

async function serve() {
  const { preview } = await import("vite"); // late: ensureDependencies may only just have installed it
  const server = await preview({
    root: `${ROOT}/demo`,
    configFile: `${ROOT}/vite.config.ts`,
    mode: "demo",
    preview: { port: PORT, strictPort: false, open: hasScreen() },
  });
  const address = server.resolvedUrls?.local[0];
  console.log(`\nOctavo is at ${address}\nPress Ctrl-C to stop.`);
  // Nothing to save, and a browser tab would keep its connection open: leave at once.
  const stop = () => process.exit(0);
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
}

try {
  ensureDependencies();
  build();
  await serve();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
