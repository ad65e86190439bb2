/**
 * Makes the GGUF files of the family tests before any of them runs: about 45 MB each from a few seconds of arithmetic, so
 * they are generated and kept in the cache folder, not in the repository. What a golden says of its file must hold.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import "./fixtures/gguf/hybrids.mjs";
import { writeGGUF } from "./fixtures/gguf/make-gguf.mjs";
import { GOLDEN_MODELS } from "./fixtures/gguf/models.ts";

const ROOT = join(import.meta.dirname, "..");
const GOLDENS = join(ROOT, "test/fixtures/gguf/goldens");
const CACHE = join(ROOT, "node_modules/.cache/octavo-fixtures");

interface Provenance {
  readonly arch: string;
  readonly variant: string;
  readonly seed: number;
  /** What of the layout's shape is not as the generator has it. */
  readonly set?: Readonly<Record<string, unknown>>;
  readonly gguf: { readonly sha256: string; readonly bytes: number };
}

export default function setup(): void {
  mkdirSync(CACHE, { recursive: true });
  for (const name of GOLDEN_MODELS) {
    const golden: Provenance = JSON.parse(readFileSync(join(GOLDENS, `${name}.json`), "utf8"));
    make(golden, join(CACHE, `${name}.gguf`));
  }
}

function make({ arch, variant, seed, set = {}, gguf }: Provenance, file: string): void {
  if (existsSync(file) && statSync(file).size === gguf.bytes) return;
  const unfinished = `${file}.${process.pid}`;
  const { sha256 } = writeGGUF(unfinished, arch, { variant, seed, set });
  if (sha256 !== gguf.sha256) throw new Error(`${file}: the generator made other bytes than the golden is for`);
  renameSync(unfinished, file);
}
