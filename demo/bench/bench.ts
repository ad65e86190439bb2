/** The bench page: runs the measurements once, shows them as a table and offers them as JSON. */

import { bytes } from "../format.ts";
import { type BenchFigures, measure } from "./bench-measure.ts";

const query = new URLSearchParams(location.search);
const number = (name: string, otherwise: number): number => Number(query.get(name) ?? otherwise);

async function run(): Promise<void> {
  const status = element("status");
  try {
    const figures = await measure(
      {
        model: query.get("model") ?? "models/octavo-tales/octavo-tales-q8_0.gguf",
        residencies: (query.get("residencies") ?? "1,0.5,0.25").split(",").map(Number),
        promptTokens: number("prompt", 128),
        decodeTokens: number("decode", 32),
        rounds: number("rounds", 5),
      },
      (text) => {
        status.textContent = text;
      },
    );
    show(figures);
    status.textContent = `Measured on ${figures.adapter}.`;
    Object.assign(globalThis, { octavoBench: figures });
  } catch (error) {
    status.textContent = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    Object.assign(globalThis, { octavoBenchError: status.textContent });
  }
}

function show(figures: BenchFigures): void {
  row("prefill", `${figures.prefillPerSecond.toFixed(1)} tok/s over ${figures.prefillTokens} tokens`);
  row("first token", `${figures.warmFirstTokenMs.toFixed(0)} ms, cold ${figures.coldFirstTokenMs.toFixed(0)} ms`);
  for (const at of figures.residencies) {
    row(
      `decode, ${Math.round(at.residency * 100)} % resident`,
      `${at.decodePerSecond.toFixed(2)} tok/s (${at.ratio.toFixed(2)} of full), ${at.roundsPerToken.toFixed(2)} rounds, ` +
        `hit rate ${(at.hitRate * 100).toFixed(0)} %, ${bytes(at.fetchedBytesPerToken)} fetched a token`,
    );
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(figures, null, 2)], { type: "application/json" }));
  link.download = "octavo-bench.json";
  link.textContent = "Download the figures as JSON";
  element("download").append(link);
}

function row(name: string, value: string): void {
  const line = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = name;
  const cell = document.createElement("td");
  cell.textContent = value;
  line.append(head, cell);
  element("results").append(line);
}

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`bench.html has no #${id}`);
  return found;
}

void run();
