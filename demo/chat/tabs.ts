/**
 * The tabs of the page among themselves: each tells the others what it stored, and holds what it writes, so that the others
 * know whether an answer is still being written. A tab that is closed lets go of what it held.
 */
export interface Tabs {
  /** Tells the other tabs that a stored conversation changed or is gone. */
  tell(conversation: string): void;
  /** Hears of what other tabs stored. */
  listen(listener: (conversation: string) => void): void;
  /** Makes an answer this tab's to write. @returns what lets go of it; `null` when another tab is writing it. */
  hold(answer: string): Promise<(() => void) | null>;
  /** Waits until no tab holds an answer. */
  letGo(answer: string): Promise<void>;
}

const NAME = "octavo.demo";

/** Tabs of the same origin and browser. */
export function browserTabs(): Tabs {
  const channel = new BroadcastChannel(NAME);
  return {
    tell: (conversation) => channel.postMessage(conversation),
    listen: (listener) => {
      channel.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
        if (typeof data === "string") listener(data);
      });
    },
    hold: (answer) =>
      new Promise((resolve) => {
        void navigator.locks.request(`${NAME}.${answer}`, { ifAvailable: true }, (lock) => {
          if (lock) return new Promise<void>((release) => resolve(release));
          resolve(null);
          return undefined;
        });
      }),
    letGo: (answer) => navigator.locks.request(`${NAME}.${answer}`, { mode: "shared" }, () => {}),
  };
}

/** A tab that shares nothing. */
export function loneTab(): Tabs {
  return { tell: () => {}, listen: () => {}, hold: async () => () => {}, letGo: async () => {} };
}
