/** Serves a virtual checkpoint over HTTP: what `npm run serve:virtual` runs, and the scripts that want a large model. */
import { humanBytes } from "../../src/util/math.ts";
import { type ServedFile, serveFiles, type TestServer } from "../fixtures/http-server.ts";
import type { VirtualCheckpoint } from "./checkpoint.ts";
import { type FaultPlan, mishapAt } from "./faults.ts";
import { Link, type LinkModel } from "./link.ts";
import { parseOptions } from "./options.ts";

export interface ServeOptions {
  readonly port?: number;
  readonly link?: LinkModel | undefined;
  readonly faults?: FaultPlan | undefined;
  /** Makes the ETag: other numbers, another tag. */
  readonly seed?: number;
  /** Served beside the checkpoint, such as the page that loads it. */
  readonly others?: Readonly<Record<string, ServedFile>>;
}

/** A server with the address to load the checkpoint from, and the bytes of its files. */
export interface VirtualServer extends TestServer {
  readonly modelUrl: string;
  readonly modelBytes: number;
}

/** Serves `checkpoint`; `TestServer.url` is its folder. */
export async function serveVirtual(checkpoint: VirtualCheckpoint, options: ServeOptions = {}): Promise<VirtualServer> {
  const { port, link, faults, seed = 1, others = {} } = options;
  const files = new Map<string, ServedFile>([...checkpoint.files, ...Object.entries(others)]);
  const server = await serveFiles(
    files,
    {
      etag: () => `"virtual-${seed}"`,
      ...(link ? { link: new Link(link) } : {}),
      ...(faults ? { mishap: (request: number) => mishapAt(faults, request) } : {}),
    },
    port,
  );
  const modelBytes = [...checkpoint.files.values()].reduce((sum, { size }) => sum + size, 0);
  // Not a spread copy, in which the count of sent bytes would stand still.
  return Object.assign(server, { modelUrl: server.url + (checkpoint.entry ?? ""), modelBytes });
}

/** The command: serves until the process ends, and prints what and where. @throws UsageError. */
export async function serveFromArguments(args: readonly string[]): Promise<string> {
  const options = parseOptions(args);
  const server = await serveVirtual(options.checkpoint, options);
  const files = [...options.checkpoint.files].map(
    ([name, { size }]) => `  ${name}  ${humanBytes(size)} (${size} bytes)`,
  );
  const shown = files.length > 8 ? [...files.slice(0, 7), `  and ${files.length - 7} more`] : files;
  return [`${server.modelUrl}  ${humanBytes(server.modelBytes)}`, ...shown].join("\n");
}
