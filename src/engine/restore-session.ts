/** A session from the bytes that another one was saved as. */
import { untilAborted } from "../util/abort.ts";
import type { Engine } from "./engine.ts";
import type { Session } from "./session.ts";
import { checkSnapshot, readSnapshot } from "./snapshot.ts";

/**
 * A session of `engine` that goes on where the saved one was, without computing its tokens again.
 * @param contextLength where given, it must be the saved session's.
 * @throws FormatError for bytes that are cut short or damaged; UsageError for those of another model; BudgetError;
 *   `AbortError`.
 */
export async function restoreSession(
  engine: Engine,
  snapshot: ArrayBuffer,
  contextLength?: number,
  signal?: AbortSignal,
): Promise<Session> {
  const bytes = new Uint8Array(snapshot);
  const { state, rowsAt } = await untilAborted(readSnapshot(bytes), signal);
  const fingerprint = await untilAborted(engine.parts.weights.fingerprint(engine.spec), signal);
  checkSnapshot(state, fingerprint, contextLength);
  const session = await engine.createSession(state.contextLength, signal);
  try {
    await session.load(state, bytes.subarray(rowsAt), signal);
    return session;
  } catch (error) {
    await untilAborted(engine.disposeSession(session), signal).catch(() => {}); // a model that was disposed has freed it
    throw error;
  }
}
