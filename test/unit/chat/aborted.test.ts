/** An aborted request waits for nothing: not for its turn, not for another's prompt, not for what it lets go of. */
import { expect, test } from "vitest";
import { SessionPool, type SessionSource } from "../../../src/chat/session-pool.ts";
import { Turns } from "../../../src/engine/turns.ts";
import { Loss } from "../../../src/gpu/loss.ts";
import { FakeSession } from "./scripted.ts";

/** A pool over an engine's turns, and a task of somebody else that holds them until `go` is called. */
function busyPool(keep: number) {
  const turns = new Turns<never>({ loss: new Loss(), check: () => {}, restore: async () => {}, drop: async () => {} });
  const alive = new Set<FakeSession>();
  const source: SessionSource<FakeSession> = {
    make: (signal) =>
      turns.run(async () => {
        const session = new FakeSession(100);
        alive.add(session);
        return session;
      }, signal),
    drop: (session) => turns.run(async () => void alive.delete(session)),
    between: (task, signal) => turns.run(task, signal),
  };
  const hold = () => {
    let go: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      go = resolve;
    });
    const done = turns.run(() => held);
    return () => {
      go();
      return done;
    };
  };
  return { pool: new SessionPool(source, keep), alive, hold, idle: () => turns.run(async () => {}) };
}

const ABORTED = { name: "AbortError" };

test("a request that needs a new session ends while another's step runs, and none is made", async () => {
  const { pool, alive, hold, idle } = busyPool(1);
  const go = hold();
  const stop = new AbortController();
  const taking = pool.take([1, 2], "all", stop.signal);
  stop.abort();
  await expect(taking).rejects.toMatchObject(ABORTED);
  await go();
  await idle();
  expect([alive.size, pool.idle]).toEqual([0, 0]);
  await pool.give((await pool.take([1, 2], "all")).session);
  expect([alive.size, pool.idle]).toEqual([1, 1]);
});

test("a request that found a session puts it back as it was, for the next", async () => {
  const { pool, alive, hold } = busyPool(1);
  const { session } = await pool.take([1, 2, 3], "all");
  await session.prefill([1, 2, 3]);
  await pool.give(session);
  const go = hold();
  const stop = new AbortController();
  const taking = pool.take([1, 9], "all", stop.signal);
  expect(pool.idle).toBe(0);
  stop.abort();
  await expect(taking).rejects.toMatchObject(ABORTED);
  expect(pool.idle).toBe(1);
  await go();
  expect(session.tokens).toEqual([1, 2, 3]);
  const again = await pool.take([1, 2, 3, 4], "all");
  expect(again).toEqual({ session, reused: 3 });
  await pool.give(again.session);
  expect([alive.size, pool.idle]).toEqual([1, 1]);
});

test("between two choices, too", async () => {
  const { pool, hold } = busyPool(1);
  const { session } = await pool.take([1, 2, 3], "all");
  await session.prefill([1, 2, 3]);
  const go = hold();
  const stop = new AbortController();
  const back = pool.back(session, 3, stop.signal);
  stop.abort();
  await expect(back).rejects.toMatchObject(ABORTED);
  await pool.give(session, stop.signal);
  await go();
  expect([session.tokens, pool.idle]).toEqual([[1, 2, 3], 1]);
});

test("a session too many ends when it is its turn, and who was aborted is not kept for it", async () => {
  const { pool, alive, hold, idle } = busyPool(1);
  const [first, second] = await Promise.all([pool.take([1], "all"), pool.take([2], "all")]);
  await pool.give(first.session);
  const go = hold();
  await pool.give(second.session, AbortSignal.abort());
  expect(alive.size).toBe(2);
  await go();
  await idle();
  expect([...alive]).toEqual([second.session]);
});

test("a failure to end one is told to whom it concerns, and the pool stays of use", async () => {
  const made: FakeSession[] = [];
  const pool = new SessionPool<FakeSession>(
    {
      make: async () => {
        made.push(new FakeSession(9));
        return made.at(-1) as FakeSession;
      },
      drop: () => Promise.reject(new Error("no device")),
      between: (task) => task(),
    },
    1,
  );
  const [first, second] = await Promise.all([pool.take([1], "all"), pool.take([2], "all")]);
  await pool.give(first.session);
  await expect(pool.give(second.session)).rejects.toThrow("no device");
  expect((await pool.take([2], "all")).session).toBe(second.session);
});
