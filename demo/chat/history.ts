/** Where conversations are kept: in this browser's IndexedDB, or in memory where it refuses to store. */
import { type IDBPDatabase, openDB } from "idb";
import type { Conversation } from "./conversation.ts";
import { conversationOf } from "./conversation-file.ts";

export interface History {
  /** All conversations, in no order. Records that are none are left out. */
  all(): Promise<Conversation[]>;
  put(conversation: Conversation): Promise<void>;
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
    put: async (conversation) => {
      await database.put(CONVERSATIONS, conversation);
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
    put: async (conversation) => {
      kept.set(conversation.id, conversation);
    },
    remove: async (id) => {
      kept.delete(id);
    },
  };
}
