/** A model that pages over a server with seeded faults: the undisturbed tokens, or a named error and then the same tokens. */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Session } from "../../src/engine/session.ts";
import { OctavoError } from "../../src/errors.ts";
import { openFileSet } from "../../src/sources/file-set.ts";
import { FaultyFetch } from "../fixtures/faulty-fetch.ts";
import { argmax } from "../reference/sample.ts";
import { type Mishap, mishapAt, parseFaults } from "../virtual/faults.ts";
import { fileOf } from "../virtual/range-file.ts";
import { answer, openModel, type SharedDevice, shareDevice } from "./engines.ts";
import { maiFolder } from "./fixtures.ts";
import { fetchFolder } from "./service.ts";

const CONTEXT = 64;
const PROMPT = [5, 266, 17, 90, 201, 44];
const STEPS = 3;
const SCHEDULES = 12;
const PASSING = "delay=0.2,delayMs=4,cut=0.15,truncate=0.1,500=0.05,429=0.05,reorder=0.01,retryAfterSeconds=0";
/** Of every second schedule: refusals that are not asked again. */
const LASTING = `${PASSING},416=0.02,403=0.02`;

let device: SharedDevice;
let expected: readonly number[];
let budget = 0;
beforeAll(async () => {
  device = await shareDevice();
  const { engine } = await device.engine(await openModel(maiFolder("base-f32")), { contextLength: CONTEXT });
  expected = (await answer(await engine.createSession(), PROMPT, STEPS)).ids;
  budget = engine.memory().minBudgetBytes;
  engine.dispose();
});
afterAll(() => expect(device.complaints).toEqual([]));

let mishap = (_number: number): Mishap => ({});

/** Runs `step`; what fails must have a name and leave the session's timeline as it was, and goes well a second time. */
async function insist<T>(session: Session, errors: string[], step: () => Promise<T>): Promise<T> {
  const { length } = session;
  try {
    return await step();
  } catch (error) {
    expect(error).toBeInstanceOf(OctavoError);
    expect(session.length).toBe(length);
    errors.push(String(error));
  }
  const bad = mishap;
  mishap = () => ({});
  const result = await step();
  mishap = bad;
  return result;
}

it(`${SCHEDULES} schedules of a bad server: the same tokens, in the same session after every error`, async () => {
  const folder = await fetchFolder("base-f32");
  const files = new Map(Object.entries(folder).map(([name, bytes]) => [name, fileOf(bytes)]));
  const web = new FaultyFetch({ files: () => files, marks: () => ({ etag: '"one"' }), mishap: (n) => mishap(n) });
  let retries = 0;
  const hooks = { fetch: web.fetch, retryDelaysMs: [1, 1, 1], onRetry: () => void retries++ };
  const model = await openModel(openFileSet(web.origin, hooks));
  const { engine, gpu } = await device.engine(model, { contextLength: CONTEXT, gpuBudgetBytes: budget });
  const session = await engine.createSession();
  const errors: string[] = [];
  for (let seed = 1; seed <= SCHEDULES; seed++) {
    const plan = parseFaults(`seed=${seed},${seed % 2 === 0 ? PASSING : LASTING}`);
    const before = web.requests;
    mishap = (number) => mishapAt(plan, number - before);
    session.rewind(0);
    let logits = await insist(session, errors, () => session.prefill(PROMPT));
    const ids: number[] = [];
    for (let step = 0; step < STEPS; step++) {
      const id = argmax(logits);
      ids.push(id);
      logits = await insist(session, errors, () => session.decode(id));
    }
    expect(ids, `schedule ${seed}`).toEqual(expected);
  }
  expect(retries).toBeGreaterThan(20);
  expect(errors.length).toBeGreaterThan(3);
  for (const kind of ["delay", "cut", "truncate", "500", "429", "reorder", "403", "416"]) {
    expect(web.seen[kind], kind).toBeGreaterThan(0);
  }
  engine.dispose();
  expect(gpu.ledger.byOwner()).toEqual({});
});
