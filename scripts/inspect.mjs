// `npm run inspect -- SOURCE [--context N] [--binding MIB] [--json]`: what a checkpoint is and what it needs, from its
// headers alone. SOURCE is a file, a folder, a URL or the id of a model on a hub. Needs no GPU. The work is in inspect-checkpoint.ts: Node runs no TypeScript by itself.
import { ensureDependencies, ROOT } from "./install.mjs";

// npm starts scripts in the package's folder; a relative path is meant from where the command was typed.
const typedIn = process.env.npm_lifecycle_event === "inspect" ? process.env.INIT_CWD : undefined;

try {
  ensureDependencies();
  const { runnerImport } = await import("vite"); // late: ensureDependencies may only just have installed it
  /** @type {{ module: typeof import("./inspect-checkpoint.ts") }} */
  const { module } = await runnerImport(`${ROOT}/scripts/inspect-checkpoint.ts`, { root: ROOT, logLevel: "error" });
  console.log(await module.inspect(process.argv.slice(2), typedIn ?? process.cwd()));
} catch (error) {
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : error);
  process.exitCode = 1;
}
