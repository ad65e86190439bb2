/** The arguments of `npm run replay`. */
import { parseArgs } from "node:util";
import { UsageError } from "../src/errors.ts";
import { DEFAULT_POLICY } from "../src/pager/policy.ts";
import { PREFETCH_NAMES, type PrefetchName } from "../src/pager/prefetcher.ts";
import type { Link } from "../src/pager/replay-link.ts";
import { REPLAY_POLICY_NAMES, type ReplayPolicyName } from "../src/pager/replay-policies.ts";

const USAGE = `npm run replay -- TRACE... [options]
  --slots 6,20%        slots a layer: a number, or a share of the experts (default 10%,20%,30%)
  --sweep              a row for every tenth of the experts, instead of --slots
  --policy a,b         ${REPLAY_POLICY_NAMES.join(", ")} (default ${DEFAULT_POLICY})
  --prefetch NAME      ${PREFETCH_NAMES.join(", ")} (default none)
  --guesses N          experts guessed for a layer at most, with --prefetch (default 2)
  --phase NAME         decode (default), prefill, all
  --run-ahead 0,4,all  layers past the first miss that are guessed for (default 0,all)
  --hint-accuracy X    share of right experts behind a miss, 0 to 1 (default 1); --seed N
  --experts N          experts a layer, where a CSV does not choose the last (default: highest id + 1)
  --expert-bytes N     turns the cost columns on; --latency-ms, --bandwidth (MB/s), --layer-ms, --roundtrip-ms
  --json`;

export interface ReplayArguments {
  readonly traces: readonly string[];
  readonly capacities: readonly ({ readonly slots: number } | { readonly share: number })[];
  readonly policies: readonly ReplayPolicyName[];
  readonly prefetch: PrefetchName;
  readonly guesses: number;
  readonly phase: "prefill" | "decode" | "all";
  readonly runAheads: readonly number[];
  readonly hintAccuracy: number;
  readonly seed: number;
  readonly experts: number | undefined;
  readonly link: Link | undefined;
  readonly json: boolean;
}

const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;
const OPTIONS = {
  slots: text,
  sweep: flag,
  policy: text,
  prefetch: text,
  guesses: text,
  phase: text,
  "run-ahead": text,
  "hint-accuracy": text,
  seed: text,
  experts: text,
  "expert-bytes": text,
  "latency-ms": text,
  bandwidth: text,
  "layer-ms": text,
  "roundtrip-ms": text,
  json: flag,
} as const;

type Values = { readonly [name in keyof typeof OPTIONS]?: string | boolean | undefined };

/** @throws UsageError for arguments that are none. */
export function parseReplayArguments(args: readonly string[]): ReplayArguments {
  const { values, positionals } = parseStrictly(args);
  if (positionals.length === 0) throw new UsageError(`Expected a trace, got none.\n${USAGE}`);
  return {
    traces: positionals,
    capacities: values.sweep ? tenths() : listOf(values, "slots", "10%,20%,30%").map(capacity),
    policies: listOf(values, "policy", DEFAULT_POLICY).map((name) => oneOf("policy", name, REPLAY_POLICY_NAMES)),
    prefetch: oneOf("prefetch", String(values.prefetch ?? "none"), PREFETCH_NAMES),
    guesses: number(values, "guesses", 2, 0, 65_536, true),
    phase: oneOf("phase", String(values.phase ?? "decode"), ["prefill", "decode", "all"] as const),
    runAheads: listOf(values, "run-ahead", "0,all").map(runAhead),
    hintAccuracy: number(values, "hint-accuracy", 1, 0, 1, false),
    seed: number(values, "seed", 1, 0, 2 ** 31, true),
    experts: values.experts === undefined ? undefined : number(values, "experts", 0, 1, 65_536, true),
    link: linkOf(values),
    json: values.json === true,
  };
}

function parseStrictly(args: readonly string[]): { values: Values; positionals: string[] } {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options: OPTIONS });
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}.\n${USAGE}`);
  }
}

function linkOf(values: Values): Link | undefined {
  if (values["expert-bytes"] === undefined) return undefined;
  return {
    expertBytes: number(values, "expert-bytes", 0, 1, 2 ** 40, true),
    latencyMs: number(values, "latency-ms", 1, 0, 1e6, false),
    bytesPerMs: number(values, "bandwidth", 1000, 0.001, 1e9, false) * 1000,
    layerMs: number(values, "layer-ms", 0.5, 0, 1e6, false),
    roundtripMs: number(values, "roundtrip-ms", 1, 0, 1e6, false),
  };
}

function tenths(): { share: number }[] {
  return Array.from({ length: 10 }, (_, i) => ({ share: (i + 1) / 10 }));
}

function listOf(values: Values, option: keyof Values, otherwise: string): string[] {
  return String(values[option] ?? otherwise).split(",");
}

function capacity(given: string): { slots: number } | { share: number } {
  const share = /^(\d{1,3}(?:\.\d+)?)%$/.exec(given);
  if (share && Number(share[1]) > 0 && Number(share[1]) <= 100) return { share: Number(share[1]) / 100 };
  if (/^[1-9]\d{0,5}$/.test(given)) return { slots: Number(given) };
  throw new UsageError(`--slots ${given}: expected a number of slots, or a share such as 20%.\n${USAGE}`);
}

function runAhead(given: string): number {
  if (given === "all") return Number.POSITIVE_INFINITY;
  if (/^\d{1,4}$/.test(given)) return Number(given);
  throw new UsageError(`--run-ahead ${given}: expected a number of layers, or all.\n${USAGE}`);
}

function oneOf<Name extends string>(option: string, given: string, names: readonly Name[]): Name {
  const name = names.find((candidate) => candidate === given);
  if (name !== undefined) return name;
  throw new UsageError(`--${option} ${given}: expected one of ${names.join(", ")}.\n${USAGE}`);
}

function number(
  values: Values,
  option: keyof Values,
  otherwise: number,
  least: number,
  most: number,
  whole: boolean,
): number {
  const given = values[option];
  if (given === undefined) return otherwise;
  const value = /^\d+(\.\d+)?$/.test(String(given)) ? Number(given) : Number.NaN;
  if (value >= least && value <= most && (!whole || Number.isInteger(value))) return value;
  const kind = whole ? "a whole number" : "a number";
  throw new UsageError(`--${option} ${given}: expected ${kind} from ${least} to ${most}.\n${USAGE}`);
}
