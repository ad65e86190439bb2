/** The figures of a bench as a table, a row for every residency, and as a file to keep. */
import { bytes, figures as digits, duration } from "../format.ts";
import type { BenchFigures, ResidencyFigures } from "./bench-measure.ts";

export function FiguresTable({ figures }: { figures: BenchFigures }) {
  const { coldFirstTokenMs: cold } = figures;
  return (
    <>
      <p class="figures" id="bench-summary">
        {figures.model} on {figures.adapter || "an unnamed adapter"}: prefill {digits(figures.prefillPerSecond)} tok/s
        over {figures.prefillTokens} tokens, first token {duration(figures.warmFirstTokenMs)}
        {cold === null ? "" : `, cold ${duration(cold)}`}
      </p>
      {/* A table that is wider than a phone scrolls by itself. */}
      <section class="table-scroll" aria-label="Figures by residency" ref={reachable}>
        <table id="results">
          <thead>
            <tr>
              <th scope="col">{figures.residencies.some(({ way }) => way) ? "Way" : "Resident"} (experts a layer)</th>
              {COLUMNS.map(([label]) => (
                <th scope="col" key={label}>
                  {label}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {figures.residencies.map((at) => (
              <tr key={`${at.residency} ${at.way}`}>
                <th scope="row">
                  {at.way ?? `${Math.round(at.residency * 100)} %`} ({at.slotsPerLayer})
                </th>
                {COLUMNS.map(([label, show]) => (
                  <td key={label}>{show(at)}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </>
  );
}

const COLUMNS: readonly (readonly [label: string, show: (at: ResidencyFigures) => string])[] = [
  ["tok/s", (at) => digits(at.decodePerSecond)],
  ["of the first", (at) => at.ratio.toFixed(2)],
  ["rounds a token", (at) => at.roundsPerToken.toFixed(2)],
  ["clean", (at) => `${Math.round(100 * at.cleanShare)} %`],
  ["hit rate", (at) => `${Math.round(100 * at.hitRate)} %`],
  ["fetched a token", (at) => bytes(at.fetchedBytesPerToken)],
  ["over the link", (at) => bytes(at.sourceBytesPerToken)],
  ["stall a token", (at) => `${at.stallMsPerToken.toFixed(1)} ms`],
  ["GPU memory", (at) => bytes(Object.values(at.gpuBytes).reduce((sum, count) => sum + count, 0))],
];

/** What scrolls can be scrolled by keyboard. */
function reachable(section: HTMLElement | null): void {
  if (section) section.tabIndex = 0;
}

/** Hands the reader `figures` as a JSON file. */
export function download(figures: unknown): void {
  const url = URL.createObjectURL(new Blob([JSON.stringify(figures, null, 2)], { type: "application/json" }));
  const link = document.createElement("a");
  Object.assign(link, { href: url, download: "octavo-bench.json" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000); // the download has begun by then
}
