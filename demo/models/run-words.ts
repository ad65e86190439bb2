/** What `canRun` answers, in words: a headline, and a line for each thing that a reader decides by. No DOM. */
import type { Assumption, DiskFacts, ExpectedSpeed, FirstToken, MemoryFacts, RunAnswer } from "../../src/index.ts";
import { bytes, duration, figures } from "../format.ts";

export const HEADLINES: Readonly<Record<RunAnswer["verdict"], string>> = {
  runs: "It runs here, with every expert on the GPU",
  "runs-paged": "It runs here, with its experts fetched as they are asked for",
  "does-not-run": "It does not run here",
};

/** Facts in the order of interest; what could not be measured is left out. */
export function linesOf({ speed, firstToken, disk, suggestedBudgetBytes }: RunAnswer): string[] {
  return [
    ...(suggestedBudgetBytes === null ? [] : [`Suggested GPU budget: ${bytes(suggestedBudgetBytes)}.`]),
    ...(speed ? [speedText(speed)] : []),
    ...(firstToken ? [firstTokenText(firstToken)] : []),
    ...(disk ? [diskText(disk)] : []),
  ];
}

function speedText({ suggested, suggestedFromLink, resident }: ExpectedSpeed): string {
  const rate = ({ tokensPerSecond }: { readonly tokensPerSecond: number }) => `${figures(tokensPerSecond)} tok/s`;
  const slower = suggestedFromLink && rate(suggestedFromLink) !== rate(suggested);
  const first = slower ? `, and ${rate(suggestedFromLink)} on a first visit over this link` : "";
  const faster = resident && rate(resident) !== rate(suggested);
  const most = faster ? ` With every expert on the GPU: ${rate(resident)}.` : "";
  return `Expected at that budget: ${rate(suggested)}${first}.${most}`;
}

/** A number that the estimate rests on, with its unit and where it is from. */
export function assumptionText({ value, unit, text }: Assumption): string {
  const units: Readonly<Record<Assumption["unit"], string>> = {
    share: `${Math.round(100 * value)} %`,
    tokens: `${figures(value)} tokens`,
    bytes: bytes(value),
    ms: `${figures(value)} ms`,
    "bytes/s": `${bytes(value)} a second`,
    count: figures(value),
  };
  return `${units[unit]}: ${text}`;
}

function firstTokenText({ bytes: all, denseBytes, expertBytes, downloadSeconds, promptTokens }: FirstToken): string {
  const took = downloadSeconds === null ? "" : `, ${duration(1000 * downloadSeconds)} over this link`;
  return (
    `Before the first word: ${bytes(all)} (${bytes(denseBytes)} of it the dense part, ${bytes(expertBytes)} experts for a ` +
    `prompt of ${promptTokens} tokens)${took}.`
  );
}

function diskText({ neededBytes, availableBytes, cachedBytes }: DiskFacts): string {
  const here = cachedBytes > 0 ? ` ${bytes(cachedBytes)} of it are there already.` : "";
  if (availableBytes === null) return `On disk: this page may not store, so every visit fetches anew.${here}`;
  return `On disk: ${bytes(neededBytes)} for the whole model, ${bytes(availableBytes)} are free for it.${here}`;
}

/** A budget as the share of all experts that it holds, in whole percent. */
export function percentOf(memory: MemoryFacts, budgetBytes: number): number {
  const others = memory.fullBudgetBytes - memory.mostResidentBytes;
  return Math.min(100, Math.max(1, Math.floor((100 * (budgetBytes - others)) / memory.expertBytes)));
}
