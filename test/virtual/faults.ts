/**
 * What goes wrong with answers: a seeded schedule, so that a run that failed can be had again. Mishaps are data; the
 * server and the in-process source act on them.
 */
import { mix, mixText, uniformAt } from "./hash.ts";

/** How one answer goes wrong; an empty record is a good one. Shares are of the body, 0 to 1. */
export interface Mishap {
  /** Comes later by so much. */
  readonly delayMs?: number;
  /** Is held back until another answer was given, or a quarter of a second has gone by. */
  readonly reorder?: boolean;
  /** Is this status instead of 206; 200 is the whole file. */
  readonly status?: { readonly code: number; readonly retryAfterSeconds?: number };
  /** Stops early: with a broken connection, as if it were whole, or by going silent until the reader gives up. */
  readonly stop?: { readonly kind: "cut" | "truncate" | "stall"; readonly share: number };
  /** Has one byte changed: exclusive or with `mask`. */
  readonly corrupt?: { readonly share: number; readonly mask: number };
}

const STATUSES = [200, 403, 416, 429, 500, 503] as const;
const STOPS = ["cut", "truncate", "stall"] as const;
const RATES = ["delay", "reorder", "corrupt", ...STOPS, ...STATUSES.map(String)];

/** Probabilities by what happens, and the numbers that belong to them. */
export interface FaultPlan {
  readonly seed: number;
  /** The first so many requests go well. */
  readonly after: number;
  readonly delayMs: number;
  /** Of answers with status 429 and 503. */
  readonly retryAfterSeconds: number;
  /** 0 to 1 by `delay`, `reorder`, `corrupt`, `cut`, `truncate`, `stall`, or a status. */
  readonly rates: Readonly<Record<string, number>>;
}

/**
 * Reads `seed=7,after=4,cut=0.02,429=0.05,delay=0.1,delayMs=200,retryAfterSeconds=1`.
 * @throws RangeError for a name that is none, or a rate outside 0 to 1.
 */
export function parseFaults(text: string): FaultPlan {
  const numbers = { seed: 1, after: 0, delayMs: 200, retryAfterSeconds: 1 };
  const rates: Record<string, number> = {};
  for (const entry of text.split(",").filter(Boolean)) {
    const [name = "", value = ""] = entry.split("=");
    const number = Number(value);
    const isNumber = name in numbers;
    const known = isNumber || RATES.includes(name);
    if (!known || value === "" || !(number >= 0 && (isNumber || number <= 1))) {
      const names = [...Object.keys(numbers), ...RATES].join(", ");
      throw new RangeError(`fault "${entry}": expected NAME=NUMBER, rates from 0 to 1, names ${names}`);
    }
    if (isNumber) Object.assign(numbers, { [name]: number });
    else rates[name] = number;
  }
  return { ...numbers, rates };
}

/** What goes wrong with request `number`, counted from 1. At most one of status, early end and changed byte. */
export function mishapAt(plan: FaultPlan, number: number): Mishap {
  if (number <= plan.after) return {};
  const happens = (name: string): boolean => uniformAt(mixText(plan.seed, name), number) < (plan.rates[name] ?? 0);
  const timing = {
    ...(happens("delay") ? { delayMs: plan.delayMs } : {}),
    ...(happens("reorder") ? { reorder: true } : {}),
  };
  const share = uniformAt(mixText(plan.seed, "share"), number);
  const code = STATUSES.find((status) => happens(String(status)));
  if (code !== undefined) {
    const waits = code === 429 || code === 503 ? { retryAfterSeconds: plan.retryAfterSeconds } : {};
    return { ...timing, status: { code, ...waits } };
  }
  const kind = STOPS.find(happens);
  if (kind) return { ...timing, stop: { kind, share } };
  if (happens("corrupt")) return { ...timing, corrupt: { share, mask: 1 + (mix(plan.seed, number) % 255) } };
  return timing;
}

/** Longest that a reordered answer waits for another one. */
const HOLD_MS = 250;

/** Where answers wait that another is to overtake. */
export class Overtaking {
  readonly #waiting = new Set<() => void>();

  /** Resolves when another answer was given. */
  hold(): Promise<void> {
    return new Promise((resolve) => {
      const go = () => {
        clearTimeout(timer);
        this.#waiting.delete(go);
        resolve();
      };
      const timer = setTimeout(go, HOLD_MS);
      this.#waiting.add(go);
    });
  }

  /** An answer was given. */
  passed(): void {
    for (const go of this.#waiting) go();
  }
}

/** Which byte of a body of `length` bytes is the changed one; -1 for an empty body. */
export function corruptAt({ share }: NonNullable<Mishap["corrupt"]>, length: number): number {
  return Math.min(length - 1, Math.floor(share * length));
}
