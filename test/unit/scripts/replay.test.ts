import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, test, vi } from "vitest";
import { replay } from "../../../scripts/replay-traces.ts";
import { FormatError, SourceError, UsageError } from "../../../src/errors.ts";
import { repositoryPath } from "../../fixtures/files.ts";
import { tracePath } from "../../fixtures/traces/traces.ts";

vi.setConfig({ testTimeout: 60_000 }); // a Node process that translates TypeScript, and whole traces, on a busy machine

const ROOT = repositoryPath("");
const REAL = tracePath("gpt-oss-20b-a");

const folder = await mkdtemp(join(tmpdir(), "octavo-replay-"));
afterAll(() => rm(folder, { recursive: true }));

/** Two layers, three tokens, two of four experts each. */
const SMALL =
  "0,1,0,0,0,0\n0,1,0,0,1,1\n0,1,0,1,0,2\n0,1,0,1,1,3\n0,1,1,0,0,0\n0,1,1,0,1,2\n0,1,1,1,0,2\n0,1,1,1,1,3\n";
await writeFile(join(folder, "small.csv"), SMALL);
await writeFile(join(folder, "small.csv.gz"), gzipSync(SMALL));
await writeFile(join(folder, "broken.csv"), "0,1,0,0,0\n");
await writeFile(join(folder, "broken.gz"), gzipSync(SMALL).subarray(0, 30));

test("the command: a table, the README's figures, and what was assumed", () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [repositoryPath("scripts/replay.mjs"), ...args], { cwd: ROOT, encoding: "utf8" });
  const { status, stdout, stderr } = run(REAL, "--policy", "lru,successor", "--slots", "3,20%");
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toContain("511 tokens, 24 MoE layers of 32 experts, top 4");
  expect(stdout).toMatch(/lru +3 +35\.8/);
  expect(stdout).toMatch(/successor +6 +67\.1/);
  expect(stdout).toMatch(/successor +6 +all +2\.00/);
  expect(stdout).not.toMatch(/successor +3 +all/); // three slots hold no event of four
  expect(stdout).toContain("100.0 % of their final experts");
});

describe("replay", () => {
  test("json: counts as numbers, per capacity, policy and run-ahead", async () => {
    const args = ["--json", "--slots", "2,100%", "--policy", "lru,belady", "--run-ahead", "0,1,all"];
    const [done] = JSON.parse(await replay(["small.csv", ...args], folder));
    expect(done).toMatchObject({ name: "small.csv", numExperts: 4, numLayers: 2, topK: 2, tokens: 2 });
    expect(done.events).toHaveLength(4);
    expect(done.rounds.map(({ runAhead }: { runAhead: unknown }) => runAhead).slice(0, 3)).toEqual([0, 1, "all"]);
    // Token 2 finds 0 and both of the second layer.
    expect(done.events[0]).toMatchObject({ policy: "lru", slots: 2, counts: { picks: 8, hits: 3, firstTouches: 5 } });
    expect(done.rounds[0].counts).toMatchObject({ rounds: 3 + 2, cleanSteps: 0, fetchBatches: { 1: 1, 2: 2 } });
    expect(await replay(["small.csv.gz", ...args], folder)).toBe(
      JSON.stringify([{ ...done, name: "small.csv.gz" }], null, 2),
    );
  });

  test("a sweep has ten capacities", async () => {
    const [done] = JSON.parse(
      await replay([join(ROOT, REAL), "--json", "--sweep", "--policy", "lru", "--run-ahead", "0"], folder),
    );
    expect(done.events.map(({ slots }: { slots: number }) => slots)).toEqual([3, 6, 10, 13, 16, 19, 22, 26, 29, 32]);
    const hits = done.events.map(({ counts }: { counts: { hits: number } }) => counts.hits);
    expect(hits).toEqual([...hits].sort((a, b) => a - b));
  });

  test("costs are stated with what they assume", async () => {
    const text = await replay(
      [
        "small.csv",
        "--slots",
        "2",
        "--expert-bytes",
        "1048576",
        "--bandwidth",
        "100",
        "--latency-ms",
        "5",
        "--prefetch",
        "oracle",
      ],
      folder,
    );
    expect(text).toContain("Link: 1 MiB an expert, 5 ms once a batch");
    expect(text).toContain("ms/token");
    expect(text).toContain("oracle names 100.0 %");
  });

  test.each([
    [[], /Expected a trace/],
    [["small.csv", "--slots", "0"], /--slots 0/],
    [["small.csv", "--slots", "120%"], /--slots 120%/],
    [["small.csv", "--policy", "best"], /--policy best: expected one of lru, lfru/],
    [["small.csv", "--prefetch", "luck"], /--prefetch luck/],
    [["small.csv", "--phase", "prefill"], /no steps.*--phase all/],
    [["small.csv", "--run-ahead", "some"], /--run-ahead some/],
    [["small.csv", "--hint-accuracy", "2"], /--hint-accuracy 2: expected a number from 0 to 1/],
    [["small.csv", "--guesses", "1.5"], /--guesses 1.5: expected a whole number/],
    [["small.csv", "--experts", "3"], /--experts 3: the trace has expert 3/],
    [["small.csv", "--wrong"], /--wrong/],
  ])("refuses %j", async (args, message) => {
    await expect(replay(args, folder)).rejects.toThrow(UsageError);
    await expect(replay(args, folder)).rejects.toThrow(message);
  });

  test("files that are none, or no traces", async () => {
    await expect(replay(["nowhere.csv"], folder)).rejects.toThrow(SourceError);
    await expect(replay(["broken.csv"], folder)).rejects.toThrow(FormatError);
    await expect(replay(["broken.csv"], folder)).rejects.toThrow(/broken\.csv: trace, line 1/);
    await expect(replay(["broken.gz"], folder)).rejects.toThrow(FormatError);
  });
});
