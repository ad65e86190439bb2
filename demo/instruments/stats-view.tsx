/** The instruments: speed, hit rate and bytes of this answer, and what the GPU's memory is spent on, by owner. */
import type { MemoryPlan, Stats } from "../../src/index.ts";
import { bytes, duration, figures, percent } from "../format.ts";

export interface Reading {
  readonly stats: Stats;
  /** The counters when this answer began. */
  readonly since: Stats;
  readonly plan: MemoryPlan;
  readonly residents: number;
  readonly experts: number;
}

type Tile = readonly [id: string, label: string, value: string, note: string];

const NO_TILES: readonly Tile[] = [
  ["speed", "Tokens / s", "–", ""],
  ["first", "First token", "–", ""],
  ["hits", "Hit rate", "–", ""],
  ["experts", "Experts resident", "–", ""],
  ["fetched", "Bytes fetched", "–", ""],
  ["rounds", "Clean steps", "–", ""],
];

/** Owners of GPU bytes as the bar shows them; everything the ledger names otherwise is working memory. */
const OWNERS = [
  ["dense", "dense"],
  ["slots", "expert slots"],
  ["kv", "KV cache"],
  ["scratch", "working"],
] as const;

type Owned = Record<(typeof OWNERS)[number][0], number>;

export function AnswerTiles({ reading }: { reading: Reading | null }) {
  return (
    <dl id="stats" class="tiles">
      {(reading ? tilesOf(reading) : NO_TILES).map(([id, label, value, note]) => (
        <div class="tile" key={id}>
          <dt>{label}</dt>
          <dd class="figures">
            <strong id={`stat-${id}`}>{value}</strong>
            <small>{note}</small>
          </dd>
        </div>
      ))}
    </dl>
  );
}

export function GpuMemory({ reading }: { reading: Reading | null }) {
  const owned = reading ? ownedBytes(reading.stats) : null;
  const budget = reading
    ? `${bytes(reading.stats.gpuBytesTotal)} of a budget of ${bytes(reading.plan.budgetBytes)}`
    : "";
  const parts = OWNERS.map(([name, label]) => `${label} ${bytes(owned?.[name] ?? 0)}`).join(", ");
  return (
    <>
      <div class="bar" role="img" aria-label={reading ? `GPU memory: ${budget}. ${parts}.` : "Nothing on the GPU yet."}>
        {OWNERS.map(([name]) => (
          <span key={name} class={`segment ${name}`} style={{ flexGrow: owned?.[name] ?? 0 }} />
        ))}
      </div>
      <ul class="bar-legend">
        {OWNERS.map(([name, label]) => (
          <li key={name}>
            <i class={`swatch ${name}`} />
            <span>{label}</span>
            <span class="figures">{owned ? bytes(owned[name]) : "–"}</span>
          </li>
        ))}
        <li class="total figures">{budget}</li>
      </ul>
    </>
  );
}

function tilesOf({ stats, since, residents, experts }: Reading): Tile[] {
  const tokens = stats.decodeTokens - since.decodeTokens;
  const ms = stats.decodeMs - since.decodeMs;
  const hits = stats.expertHits - since.expertHits;
  const lookups = hits + stats.expertMisses - since.expertMisses;
  const clean = stats.cleanSteps - since.cleanSteps;
  const rounds = stats.decodeRounds - since.decodeRounds;
  const fetched = sourceBytes(stats);
  const first = stats.timeToFirstTokenMs > 0 ? duration(stats.timeToFirstTokenMs) : "–";
  return [
    ["speed", "Tokens / s", ms > 0 ? figures((1000 * tokens) / ms) : "–", tokens > 0 ? `over ${tokens} tokens` : ""],
    ["first", "First token", first, ""],
    ["hits", "Hit rate", percent(hits, lookups), lookups > 0 ? `${hits} of ${lookups} look-ups` : ""],
    ["experts", "Experts resident", `${residents}`, `of ${experts}`],
    ["fetched", "Bytes fetched", bytes(fetched - sourceBytes(since)), `${bytes(fetched)} since opening`],
    ["rounds", "Clean steps", percent(clean, tokens), tokens > 0 ? `${figures(rounds / tokens)} rounds a token` : ""],
  ];
}

function ownedBytes({ gpuBytes }: Stats): Owned {
  const owned: Owned = { dense: 0, slots: 0, kv: 0, scratch: 0 };
  for (const [owner, count] of Object.entries(gpuBytes)) {
    owned[owner === "dense" || owner === "slots" || owner === "kv" ? owner : "scratch"] += count;
  }
  return owned;
}

function sourceBytes(stats: Stats): number {
  return stats.networkBytes + stats.fileBytes + stats.memoryBytes;
}
