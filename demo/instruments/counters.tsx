/** The counters behind the tiles: of this answer, and since the model was opened. */
import type { Stats } from "../../src/index.ts";
import { bytes, duration, figures, percent } from "../format.ts";
import type { Reading } from "./stats-view.tsx";

type Row = readonly [label: string, answer: string, all: string];

export function Counters({ reading }: { reading: Reading | null }) {
  return (
    <details class="counters">
      <summary>All counters</summary>
      <table id="counters">
        <thead>
          <tr>
            <th scope="col">Counter</th>
            <th scope="col">This answer</th>
            <th scope="col">Since opening</th>
          </tr>
        </thead>
        <tbody>
          {(reading ? rowsOf(reading.stats, reading.since) : []).map(([label, answer, all]) => (
            <tr key={label}>
              <th scope="row">{label}</th>
              <td>{answer}</td>
              <td>{all}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

/** Every row of a table of counters: what was added since `since`, and all. */
export function rowsOf(stats: Stats, since: Stats): Row[] {
  type Of = (name: CountName) => number;
  const answer: Of = (name) => stats[name] - since[name];
  const all: Of = (name) => stats[name];
  const row = (label: string, show: (of: Of) => string): Row => [label, show(answer), show(all)];
  const rate = (of: Of, tokens: CountName, ms: CountName) => (of(ms) > 0 ? figures((1000 * of(tokens)) / of(ms)) : "–");
  return [
    row("Tokens read, a second", (of) => `${of("prefillTokens")}, ${rate(of, "prefillTokens", "prefillMs")}`),
    row("Tokens written, a second", (of) => `${of("decodeTokens")}, ${rate(of, "decodeTokens", "decodeMs")}`),
    row("Look-ups that hit", (of) => percent(of("expertHits"), of("expertHits") + of("expertMisses"))),
    row("Experts fetched, evicted", (of) => `${of("expertsFetched")}, ${of("evictions")}`),
    row("Guesses used, wasted", (of) => `${of("prefetchesUseful")}, ${of("prefetchesWasted")}`),
    row("Waiting for experts", (of) => duration(of("stallMs"))),
    row("Rounds, clean steps", (of) => `${of("decodeRounds")}, ${of("cleanSteps")}`),
    row("Next tokens scouted", (of) => `${of("scouts")}`),
    row("Queued ahead, dropped", (of) => `${of("queuedSteps")}, ${of("queuedStepsDropped")}`),
    row("From the network", (of) => bytes(of("networkBytes"))),
    row("From files, memory", (of) => `${bytes(of("fileBytes"))}, ${bytes(of("memoryBytes"))}`),
    row("From the disk cache", (of) => bytes(of("diskBytes"))),
    row("From the RAM tier", (of) => bytes(of("ramBytes"))),
    row("Written to disk", (of) => bytes(of("cacheWriteBytes"))),
    row("Dispatches, read-backs", (of) => `${of("dispatches")}, ${of("readbacks")}`),
  ];
}

/** The names of `Stats` that are numbers. */
type CountName = { [Name in keyof Stats]: Stats[Name] extends number ? Name : never }[keyof Stats];
