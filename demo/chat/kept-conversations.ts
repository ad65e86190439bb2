/**
 * The conversations as this tab holds them, in step with what is stored and with other tabs. A change is stored after a
 * moment, merged with what another tab stored meanwhile; what other tabs store is taken over when they tell of it.
 */
import { Events } from "../store.ts";
import { brokenOff, type Conversation, writingIn } from "./conversation.ts";
import type { History } from "./history.ts";
import { merged, same, sameButForReading } from "./merge.ts";
import type { Tabs } from "./tabs.ts";

const SAVE_MS = 400;

export class KeptConversations {
  /** Ids of conversations that changed, came or went. */
  readonly changed = new Events<string>();
  readonly #history: History;
  readonly #tabs: Tabs;
  readonly #onError: (error: unknown) => void;
  readonly #all = new Map<string, Conversation>();
  /** What this tab last stored or read of each: what it and the others set out from. */
  readonly #stored = new Map<string, Conversation>();
  readonly #unsaved = new Set<string>();
  /** Answers of other tabs whose end is waited for. */
  readonly #awaited = new Set<string>();
  /** Answers that this tab writes. */
  readonly #own = new Set<string>();
  #saving: ReturnType<typeof setTimeout> | null = null;
  /** Storing and taking over happen one after the other. */
  #queue: Promise<void> = Promise.resolve();

  /** @param onError hears of what the storage refused. */
  constructor(history: History, tabs: Tabs, onError: (error: unknown) => void) {
    this.#history = history;
    this.#tabs = tabs;
    this.#onError = onError;
    tabs.listen((id) => void this.#enqueue(() => this.#takeOver(id)));
  }

  /** Reads all that is stored. */
  async restore(): Promise<void> {
    await this.#enqueue(async () => {
      for (const stored of await this.#history.all()) {
        this.#stored.set(stored.id, stored);
        this.#all.set(stored.id, stored);
        await this.#breakOff(stored.id);
      }
    });
  }

  get(id: string): Conversation | undefined {
    return this.#all.get(id);
  }

  /** The latest first. */
  latest(): Conversation[] {
    return [...this.#all.values()].sort((a, b) => b.updatedAt - a.updatedAt);
  }

  /** Takes a conversation, new or changed. */
  set(conversation: Conversation): void {
    this.#all.set(conversation.id, conversation);
    this.#unsaved.add(conversation.id);
    this.#saving ??= setTimeout(() => void this.flush(), SAVE_MS);
    this.changed.emit(conversation.id);
  }

  async remove(id: string): Promise<void> {
    this.#forget(id);
    await this.#enqueue(async () => {
      await this.#history.remove(id);
      this.#forget(id); // another tab may have told of it meanwhile
      this.#tabs.tell(id);
    });
  }

  /** Makes an answer this tab's to write. @returns what ends that; `null` when another tab is writing it. */
  async hold(answer: string): Promise<(() => void) | null> {
    const release = await this.#tabs.hold(answer);
    if (!release) return null;
    this.#own.add(answer);
    return () => {
      this.#own.delete(answer);
      release();
    };
  }

  /** Stores at once what waits to be. */
  flush(): Promise<void> {
    if (this.#saving !== null) clearTimeout(this.#saving);
    this.#saving = null;
    return this.#enqueue(async () => {
      const ids = [...this.#unsaved];
      this.#unsaved.clear();
      for (const id of ids) await this.#store(id);
    });
  }

  async #store(id: string): Promise<void> {
    const sent = this.#all.get(id);
    if (!sent) return;
    const base = this.#stored.get(id);
    const stored = await this.#history.update(id, (theirs) => (theirs ? merged(base, sent, theirs, newId) : sent));
    this.#stored.set(id, stored);
    const now = this.#all.get(id);
    if (now) this.#show(merged(sent, now, stored, newId)); // it may have grown while it was stored
    this.#tabs.tell(id);
  }

  /** Another tab stored or deleted this one. What this tab changed of it and did not store yet stays. */
  async #takeOver(id: string): Promise<void> {
    const [base, ours, theirs] = [this.#stored.get(id), this.#all.get(id), await this.#history.one(id)];
    if (!theirs) {
      if (same(base, ours)) this.#forget(id);
      return;
    }
    this.#stored.set(id, theirs);
    const both = ours ? merged(base, ours, theirs, newId) : theirs;
    if (sameButForReading(both, theirs)) this.#show(both);
    else this.set(both);
    await this.#breakOff(id);
  }

  /** Finds answers that say they are being written, and that no tab writes any more; of others it waits for the end. */
  async #breakOff(id: string): Promise<void> {
    const conversation = this.#all.get(id);
    const writing = conversation ? writingIn(conversation).filter((answer) => !this.#own.has(answer)) : [];
    for (const answer of writing) {
      if (this.#awaited.has(answer)) continue;
      const release = await this.#tabs.hold(answer);
      if (!release) {
        void this.#await(id, answer);
        continue;
      }
      // Its tab may have stored the end just now, and told of it; only what still says so is broken off.
      const stored = await this.#history.one(id);
      if (stored && writingIn(stored).includes(answer)) this.#change(id, (all) => brokenOff(all, [answer]));
      release();
    }
  }

  async #await(id: string, answer: string): Promise<void> {
    this.#awaited.add(answer);
    await this.#tabs.letGo(answer);
    this.#awaited.delete(answer);
    await this.#enqueue(() => this.#takeOver(id)); // its tab stores the end before it lets go
  }

  #change(id: string, change: (conversation: Conversation) => Conversation): void {
    const conversation = this.#all.get(id);
    if (conversation) this.set(change(conversation));
  }

  #show(conversation: Conversation): void {
    const before = this.#all.get(conversation.id);
    this.#all.set(conversation.id, conversation);
    if (before !== conversation) this.changed.emit(conversation.id);
  }

  #forget(id: string): void {
    this.#all.delete(id);
    this.#stored.delete(id);
    this.#unsaved.delete(id);
    this.changed.emit(id);
  }

  #enqueue(task: () => Promise<void>): Promise<void> {
    this.#queue = this.#queue.then(task).catch(this.#onError);
    return this.#queue;
  }
}

function newId(): string {
  return crypto.randomUUID();
}
