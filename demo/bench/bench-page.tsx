/** The page behind `npm run bench`: measures what its address says, once, and leaves the figures where the script looks. */
import { render } from "preact";
import { type BenchFigures, measure } from "./bench-measure.ts";
import { download, FiguresTable } from "./figures-table.tsx";

const query = new URLSearchParams(location.search);
const number = (name: string, otherwise: number): number => Number(query.get(name) ?? otherwise);
const root = document.getElementById("bench") ?? document.body;

function show(status: string, figures: BenchFigures | null): void {
  const view = (
    <>
      <h1>Octavo, measured here</h1>
      <p id="status" role="status">
        {status}
      </p>
      {figures && <FiguresTable figures={figures} />}
      {figures && (
        <button type="button" onClick={() => download(figures)}>
          Download as JSON
        </button>
      )}
    </>
  );
  render(view, root);
}

try {
  const settings = {
    residencies: (query.get("residencies") ?? "1,0.5,0.25").split(",").map(Number),
    promptTokens: number("prompt", 128),
    decodeTokens: number("decode", 32),
    rounds: number("rounds", 5),
  };
  const source = query.get("model") ?? "models/octavo-tales/octavo-tales-q8_0.gguf";
  const figures = await measure(source, settings, { say: (text) => show(text, null) });
  show(`Measured on ${figures.adapter}.`, figures);
  Object.assign(globalThis, { octavoBench: figures });
} catch (error) {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  show(text, null);
  Object.assign(globalThis, { octavoBenchError: text });
}
