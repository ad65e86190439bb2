/** Which session serves, what of it is taken over, and what becomes of it when an answer ends early. */
import { describe, expect, test } from "vitest";
import { SessionPool } from "../../../src/chat/session-pool.ts";
import { FakeSession, scriptedChat } from "./scripted.ts";

function pool(keep: number) {
  const made: FakeSession[] = [];
  const dropped: FakeSession[] = [];
  const sessions = new SessionPool<FakeSession>(
    {
      make: async () => {
        const session = new FakeSession(100);
        made.push(session);
        return session;
      },
      drop: async (session) => void dropped.push(session),
      between: (task) => task(),
    },
    keep,
  );
  /** Runs a prompt through a session: `answer` is drawn. */
  const serve = async (ids: number[], answer: number[] = [], reuse: "all" | "exact" | "none" = "all") => {
    const { session, reused } = await sessions.take(ids, reuse);
    await session.prefill(ids.slice(reused));
    session.drawnFrom = Math.min(session.drawnFrom, session.length);
    session.tokens.push(...answer);
    await sessions.give(session);
    return { session, reused };
  };
  return { sessions, serve, made, dropped };
}

describe("a prompt", () => {
  test("takes over what it has in common with the last one, answer included", async () => {
    const { serve, made } = pool(1);
    expect((await serve([1, 2, 3], [4, 5])).reused).toBe(0);
    expect((await serve([1, 2, 3, 4, 5, 6])).reused).toBe(5);
    expect((await serve([1, 2, 9, 9])).reused).toBe(2); // edited
    expect((await serve([7])).reused).toBe(0);
    expect(made).toHaveLength(1);
  });

  test("is never taken over whole, for its last token must be computed", async () => {
    const { serve } = pool(1);
    await serve([1, 2, 3], [4]);
    const { reused, session } = await serve([1, 2, 3]);
    expect(reused).toBe(2);
    expect(session.tokens).toEqual([1, 2, 3]);
  });

  test("takes over only what was a prompt, or nothing, when that is asked", async () => {
    const { serve } = pool(1);
    await serve([1, 2, 3], [4, 5]);
    expect((await serve([1, 2, 3, 4, 5, 6], [], "exact")).reused).toBe(3);
    await serve([1, 2, 3], [4, 5]);
    expect((await serve([1, 2, 3, 4, 5, 6], [], "none")).reused).toBe(0);
  });
});

describe("sessions", () => {
  test("are one while none may be kept beside it", async () => {
    const { serve, made, dropped } = pool(1);
    for (const ids of [
      [1, 2, 3],
      [4, 5, 6],
      [1, 2, 3],
    ])
      expect((await serve(ids)).reused).toBe(0);
    expect([made.length, dropped.length]).toEqual([1, 0]);
  });

  test("of several conversations are kept side by side", async () => {
    const { serve, made } = pool(2);
    await serve([1, 2, 3, 4], [5]);
    await serve([6, 7, 8, 9], [5]);
    expect((await serve([1, 2, 3, 4, 5, 1])).reused).toBe(5);
    expect((await serve([6, 7, 8, 9, 5, 1])).reused).toBe(5);
    // A third takes the place of the one that was not used for longest.
    expect((await serve([3, 3])).session).toBe(made[0]);
    expect(made).toHaveLength(2);
  });

  test("go on where a branch has most in common", async () => {
    const { serve, made } = pool(2);
    await serve([1, 2, 3, 4, 5]);
    await serve([1, 9, 9, 9, 9]); // would have cost the first four of its tokens, so it has its own
    expect(made).toHaveLength(2);
    expect((await serve([1, 2, 3, 8])).reused).toBe(3);
  });

  test("are made for requests that run at once, and end again", async () => {
    const { sessions, made, dropped } = pool(1);
    const taken = await Promise.all([sessions.take([1], "all"), sessions.take([1], "all"), sessions.take([1], "all")]);
    expect(new Set(taken.map(({ session }) => session)).size).toBe(3);
    for (const { session } of taken) await sessions.give(session);
    expect(sessions.idle).toBe(1);
    expect(dropped).toEqual(made.slice(0, 2));
  });

  test("that could not be made are not counted", async () => {
    let fails = true;
    const sessions = new SessionPool<FakeSession>(
      {
        make: async () => {
          if (fails) throw new Error("no room");
          return new FakeSession(9);
        },
        drop: async () => {},
        between: (task) => task(),
      },
      2,
    );
    await expect(sessions.take([1, 2], "all")).rejects.toThrow("no room");
    fails = false;
    await sessions.give((await sessions.take([1, 2], "all")).session);
    expect(sessions.idle).toBe(1);
  });
});

describe("a response that ends early gives its session back", () => {
  const params = { messages: [{ role: "user", content: "Hi" }] } as const;

  test("when its reader leaves", async () => {
    const { chat, create, sessions } = await scriptedChat({ says: ["one two three"] });
    const handle = await chat.ask({ kind: "chat", params: { ...params, stream: true } });
    const signal = new AbortController().signal;
    for (let i = 0; i < 4; i++) await handle.next(signal);
    await handle.return();
    expect(await handle.next(signal)).toBeUndefined();
    const answer = await create(params);
    expect(answer.choices[0]?.message.content).toBe("one two three");
    expect(answer.usage.prompt_tokens_details.cached_tokens).toBe(answer.usage.prompt_tokens - 1);
    expect(sessions).toHaveLength(1);
  });

  test("when its signal fires, before the prompt or in the middle", async () => {
    const { chat, create, sessions } = await scriptedChat({ says: ["one two three"] });
    for (const chunks of [0, 3]) {
      const handle = await chat.ask({ kind: "chat", params: { ...params, stream: true } });
      const controller = new AbortController();
      for (let i = 0; i < chunks; i++) await handle.next(controller.signal);
      controller.abort();
      await expect(
        (async () => {
          for (let i = 0; i < 9; i++) await handle.next(controller.signal);
        })(),
      ).rejects.toThrow(/abort/i);
    }
    expect((await create(params)).choices[0]?.message.content).toBe("one two three");
    expect(sessions).toHaveLength(1);
  });

  test("and holds none before it is read", async () => {
    const { chat, sessions } = await scriptedChat({ says: ["x"] });
    const handle = await chat.ask({ kind: "chat", params: { ...params, stream: true } });
    await handle.return();
    expect(sessions).toEqual([]);
  });
});
