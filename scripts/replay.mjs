// `npm run replay -- TRACE... [options]`: replays routing traces against eviction policies and prefetchers. Needs no GPU.
// The work is in replay-traces.ts: Node runs no TypeScript by itself.
import { ensureDependencies, ROOT } from "./install.mjs";

// npm starts scripts in the package's folder; a relative path is meant from where the command was typed.
const typedIn = process.env.npm_lifecycle_event === "replay" ? process.env.INIT_CWD : undefined;

try {
  ensureDependencies();
  const { runnerImport } = await import("vite"); // late: ensureDependencies may only just have installed it
  /** @type {{ module: typeof import("./replay-traces.ts") }} */
  const { module } = await runnerImport(`${ROOT}/scripts/replay-traces.ts`, { root: ROOT, logLevel: "error" });
  console.log(await module.replay(process.argv.slice(2), typedIn ?? process.cwd()));
} catch (error) {
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : error);
  process.exitCode = 1;
}
