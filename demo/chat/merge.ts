/**
 * Two tabs that changed the same conversation: their versions become one, in which no message is lost. Messages have ids of
 * their own and name their parents, so what both wrote behind the same message lies side by side there, as branches do.
 */
import type { Answer, Conversation, Message } from "./conversation.ts";

/**
 * @param base what both set out from; `undefined` where nothing is known of that.
 * @param ours where both gave a title, ours stands; and which branch is read is each tab's own, so that nobody is led away from
 * what he reads.
 * @param newId names the copy of an answer that both changed.
 */
export function merged(
  base: Conversation | undefined,
  ours: Conversation,
  theirs: Conversation,
  newId: () => string,
): Conversation {
  if (same(ours, theirs) || (base && same(base, theirs))) return ours;
  const read = { ...theirs.read, ...ours.read };
  if (base && same(base, ours)) return { ...theirs, read };
  const named = ours.title !== base?.title || ours.renamed !== base.renamed ? ours : theirs;
  return {
    id: ours.id,
    title: named.title,
    renamed: named.renamed,
    createdAt: Math.min(ours.createdAt, theirs.createdAt),
    updatedAt: Math.max(ours.updatedAt, theirs.updatedAt),
    messages: mergedMessages(base, ours, theirs, newId),
    read,
  };
}

/** Whether two versions differ in nothing but which branches are read. */
export function sameButForReading(a: Conversation, b: Conversation): boolean {
  return same({ ...a, read: {} }, { ...b, read: {} });
}

/** Whether two values of plain data say the same, in whatever order. */
export function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const [keys, others] = [Object.keys(a), Object.keys(b)];
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  return keys.length === others.length && keys.every((key) => Object.hasOwn(b, key) && same(left[key], right[key]));
}

function mergedMessages(
  base: Conversation | undefined,
  ours: Conversation,
  theirs: Conversation,
  newId: () => string,
): Message[] {
  const before = byId(base);
  const own = byId(ours);
  const known = new Set(theirs.messages.map(({ id }) => id));
  const both = theirs.messages.flatMap((theirOne) => {
    const ourOne = own.get(theirOne.id);
    return ourOne ? mergedMessage(before.get(theirOne.id), ourOne, theirOne, newId) : [theirOne];
  });
  return [...both, ...ours.messages.filter(({ id }) => !known.has(id))];
}

/** One message, or two where each has what the other has not. */
function mergedMessage(base: Message | undefined, ours: Message, theirs: Message, newId: () => string): Message[] {
  if (same(ours, theirs) || same(base, theirs)) return [ours];
  if (same(base, ours)) return [theirs];
  if (goesOnFrom(ours, theirs)) return [ours];
  if (goesOnFrom(theirs, ours)) return [theirs];
  return [ours, { ...theirs, id: newId() }];
}

/** Whether `longer` has all of `shorter`: they are then states of one answer, and not two answers. */
function goesOnFrom(longer: Message, shorter: Message): boolean {
  return longer.content.startsWith(shorter.content) && thoughtOf(longer).startsWith(thoughtOf(shorter));
}

function thoughtOf(message: Message | Answer): string {
  return message.role === "assistant" ? message.reasoning : "";
}

function byId(conversation: Conversation | undefined): ReadonlyMap<string, Message> {
  return new Map(conversation?.messages.map((message) => [message.id, message]));
}
