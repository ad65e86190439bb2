/** The bridge from stores to components: a component that uses a store is drawn again when its value changes. */
import { useEffect, useState } from "preact/hooks";
import type { Readable } from "./store.ts";

export function useStore<T>(store: Readable<T>): T {
  const [shown, show] = useState({ value: store.value });
  useEffect(() => {
    show({ value: store.value }); // it may have changed between drawing and now
    return store.subscribe((value) => show({ value }));
  }, [store]);
  return shown.value;
}
