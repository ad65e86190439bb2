/**
 * Where conversations are kept: in this browser's IndexedDB, which every tab of the page shares, or in memory where it refuses
 * to store.
 */
import { type IDBPDatabase, openDB } from "idb";
import type { Conversation } from "./conversation.ts";
import { conversationOf } from "./conversation-file.ts";

export interface History {
  /** All conversations, in no order. Records that are none are left out. */
  all(): Promise<Conversation[]>;
  one(id: string): Promise<Conversation | undefined>;
  /** Stores what `change` makes of the record; nobody else writes it in between. @returns what is stored now. */
  update(id: string, change: (stored: Conversation | undefined) => Conversation): Promise<Conversation>;
  remove(id: string): Promise<void>;
}

const DATABASE = "octavo.demo";
const CONVERSATIONS = "conversations";

/** @throws what the browser throws when it lets the page store nothing. */
export async function openHistory(): Promise<History> {
  const database = await openDB(DATABASE, 1, {
    upgrade: (fresh) => {
      fresh.createObjectStore(CONVERSATIONS, { keyPath: "id" });
    },
    blocking: (_now, _next, event) => (event.target as IDBDatabase).close(),
  });
  return historyIn(database);
}

function historyIn(database: IDBPDatabase): History {
  return {
    all: async () => (await database.getAll(CONVERSATIONS)).flatMap(sound),
    one: async (id) => sound(await database.get(CONVERSATIONS, id))[0],
    update: async (id, change) => {
      const transaction = database.transaction(CONVERSATIONS, "readwrite");
      const stored = sound(await transaction.store.get(id))[0];
      const changed = change(stored);
      await Promise.all([transaction.store.put(changed), transaction.done]);
      return changed;
    },
    remove: (id) => database.delete(CONVERSATIONS, id),
  };
}

/** One record that cannot be read must not hide the others. */
function sound(record: unknown): Conversation[] {
  try {
    return [conversationOf(record, "the stored conversation")];
  } catch {
    return [];
  }
}

/** Lasts as long as the page. */
export function memoryHistory(initial: readonly Conversation[] = []): History {
  const kept = new Map(initial.map((conversation) => [conversation.id, conversation]));
  return {
    all: async () => [...kept.values()],
    one: async (id) => kept.get(id),
    update: async (id, change) => {
      const changed = change(kept.get(id));
      kept.set(id, changed);
      return changed;
    },
    remove: async (id) => {
      kept.delete(id);
    },
  };
}
