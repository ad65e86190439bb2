/** Serves a virtual checkpoint over HTTP: what `npm run serve:virtual` runs, and the scripts that want a large model. */
import { humanBytes } from "../../src/util/math.ts";
import { serveFiles, type TestServer } from "../fixtures/http-server.ts";
import type { VirtualCheckpoint } from "./checkpoint.ts";
import { type FaultPlan, mishapAt } from "./faults.ts";
import { Link, type LinkModel } from "./link.ts";
import { parseOptions } from "./options.ts";

export interface ServeOptions {
  readonly port?: number;
  readonly link?: LinkModel | undefined;
  readonly http2?: boolean;
  readonly faults?: FaultPlan | undefined;
  /** Makes the ETag: other numbers, another tag. */
  readonly seed?: number;
}

/** A server with the address to load the checkpoint from, and the bytes of its files. */
export interface VirtualServer extends TestServer {
  readonly modelUrl: string;
  readonly modelFiles: VirtualCheckpoint["files"];
  readonly modelBytes: number;
}

/** Files listed by the command; a split may have hundreds. */
const MOST_LINES = 8;

/** Serves `checkpoint`; `TestServer.url` is its folder. */
export async function serveVirtual(checkpoint: VirtualCheckpoint, options: ServeOptions = {}): Promise<VirtualServer> {
  const { port, link, faults, http2 = false, seed = 1 } = options;
  const server = await serveFiles(
    checkpoint.files,
    {
      http2,
      etag: () => `"virtual-${seed}"`,
      ...(link ? { link: new Link(link) } : {}),
      ...(faults ? { mishap: (request: number) => mishapAt(faults, request) } : {}),
    },
    port,
  );
  const { files: modelFiles, entry = "" } = checkpoint;
  const modelBytes = [...modelFiles.values()].reduce((sum, { size }) => sum + size, 0);
  // Not a spread copy, in which the count of sent bytes would stand still.
  return Object.assign(server, { modelUrl: server.url + entry, modelFiles, modelBytes });
}

export { serveFiles };

const DEFAULT_PORT = 8123;

/** Serves what the arguments of the command describe, from `otherwisePort` where they name none. @throws UsageError. */
export async function serveArguments(args: readonly string[], otherwisePort = 0): Promise<VirtualServer> {
  const options = parseOptions(args);
  return serveVirtual(options.checkpoint, { ...options, port: options.port ?? otherwisePort });
}

/** The command: serves until the process ends, and says what and where. @throws UsageError. */
export async function serveCommand(args: readonly string[]): Promise<string> {
  const { modelUrl, modelBytes, modelFiles } = await serveArguments(args, DEFAULT_PORT);
  const lines = [...modelFiles].map(([name, { size }]) => `  ${name}  ${humanBytes(size)} (${size} bytes)`);
  const shown = lines.length > MOST_LINES ? [...lines.slice(0, MOST_LINES), "  ..."] : lines;
  return [`${modelUrl}  ${humanBytes(modelBytes)} in ${modelFiles.size} files`, ...shown].join("\n");
}
