/** Tasks run one after another, and again when their device is lost; an abort ends a wait at once. */
import { expect, test } from "vitest";
import { MAX_LOSSES, Turns } from "../../../src/engine/turns.ts";
import { DeviceError, SourceError, UsageError } from "../../../src/errors.ts";
import { Loss } from "../../../src/gpu/loss.ts";

function setUp() {
  const loss = new Loss();
  const log: string[] = [];
  let lose: () => void = () => {};
  let disposed = false;
  const open = () => {
    loss.watch({
      lost: new Promise((resolve) => {
        lose = () => resolve({ message: "fell over", reason: "unknown" } as GPUDeviceLostInfo);
      }),
    } as GPUDevice);
  };
  open();
  const turns = new Turns<string>({
    loss,
    check: () => {
      if (disposed) throw new UsageError("disposed");
    },
    restore: async () => {
      if (!loss.error) return;
      log.push("restored");
      open();
    },
    drop: async (queued) => void log.push(`dropped ${queued}`),
  });
  const dispose = () => {
    disposed = true;
  };
  return { turns, log, loss, lose: () => lose(), dispose };
}

/** A step that a lost device fails before it says that it is lost. */
async function dies(lose: () => void): Promise<never> {
  setTimeout(lose, 5);
  throw new DeviceError("A read-back failed");
}

test("a task whose device is lost runs again from its beginning, behind the restoring and before the next", async () => {
  const { turns, log, lose } = setUp();
  let runs = 0;
  const first = turns.run(async () => {
    log.push(`first ${++runs}`);
    return runs < 3 ? dies(lose) : "done";
  });
  const second = turns.run(async () => void log.push("second"));
  expect(await first).toBe("done");
  await second;
  expect(log).toEqual(["first 1", "restored", "first 2", "restored", "first 3", "second"]);
});

test("a device that is lost again and again ends in a DeviceError that says so, and the next task runs", async () => {
  const { turns, lose, log } = setUp();
  let runs = 0;
  const error: unknown = await turns
    .run(() => {
      runs += 1;
      return dies(lose);
    })
    .catch((reason: unknown) => reason);
  expect(runs).toBe(MAX_LOSSES + 1);
  expect(error).toMatchObject({ name: "DeviceError", code: "device-lost" });
  expect(String(error)).toMatch(/fell over.*4 times.*Load the model again/s);
  log.length = 0;
  expect(await turns.run(async () => "fine")).toBe("fine");
  expect(log).toEqual(["restored"]);
});

test("an error that is no device's is told at once, and one of a device that is there stays what it is", async () => {
  const { turns, log } = setUp();
  await expect(turns.run(() => Promise.reject(new SourceError("404")))).rejects.toThrow("404");
  await expect(turns.run(() => Promise.reject(new DeviceError("no shader")))).rejects.toThrow("no shader");
  expect(log).toEqual([]);
});

test("an abort ends the wait at once, and the task never begins", async () => {
  const { turns, log } = setUp();
  let end: () => void = () => {};
  const promise = new Promise<void>((resolve) => {
    end = resolve;
  });
  const long = turns.run(() => promise);
  const stop = new AbortController();
  const waiting = turns.run(async () => void log.push("ran"), stop.signal);
  stop.abort();
  await expect(waiting).rejects.toMatchObject({ name: "AbortError" }); // while the long one still runs
  end();
  await long;
  await turns.run(async () => {});
  expect(log).toEqual([]);
});

test("an abort while the task runs is the task's to answer; a lost device does not start it again", async () => {
  const { turns, lose } = setUp();
  const stop = new AbortController();
  let runs = 0;
  const running = turns.run(() => {
    runs += 1;
    stop.abort();
    return dies(lose);
  }, stop.signal);
  await expect(running).rejects.toBeInstanceOf(DeviceError);
  expect(runs).toBe(1);
});

test("what was queued goes to the next task, and is dropped for one that cannot use it", async () => {
  const { turns, log, lose } = setUp();
  await turns.run(async () => turns.keep("a"));
  expect(await turns.runWithQueued(async (queued) => queued)).toBe("a");
  expect(await turns.runWithQueued(async (queued) => queued)).toBe(undefined);
  await turns.run(async () => turns.keep("b"));
  await turns.run(async () => {});
  expect(log).toEqual(["dropped b"]);
  // With its device it is gone, and nobody waits for it.
  await turns.run(async () => turns.keep("c"));
  lose();
  await new Promise((resolve) => setTimeout(resolve));
  expect(await turns.runWithQueued(async (queued) => queued)).toBe(undefined);
  expect(log).toEqual(["dropped b", "restored"]);
});

test("after the end no task begins, and one under way ends in the same words", async () => {
  const { turns, dispose } = setUp();
  const under = turns.run(async () => {
    dispose();
    throw new DeviceError("the buffers are gone");
  });
  await expect(under).rejects.toBeInstanceOf(UsageError);
  await expect(turns.run(async () => {})).rejects.toBeInstanceOf(UsageError);
});
