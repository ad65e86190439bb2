// `npm run serve:virtual -- --rung L12 --type q4_0 --port 8123 ...`: serves a checkpoint of any size that lies nowhere,
// its bytes made as they are asked for. The work is in test/virtual: Node runs no TypeScript by itself.
import { ensureDependencies, ROOT } from "./install.mjs";

try {
  ensureDependencies();
  const { runnerImport } = await import("vite"); // late: ensureDependencies may only just have installed it
  /** @type {{ module: typeof import("../test/virtual/serve.ts") }} */
  const { module } = await runnerImport(`${ROOT}/test/virtual/serve.ts`, { root: ROOT, logLevel: "error" });
  console.log(await module.serveCommand(process.argv.slice(2)));
} catch (error) {
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : error);
  process.exitCode = 1;
}
