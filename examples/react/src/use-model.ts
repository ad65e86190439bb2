import { loadModel, type Model } from "octavo";
import { useEffect, useState } from "react";

export interface Loading {
  readonly model?: Model;
  readonly progress?: string;
  readonly error?: Error;
}

/** The model at `source`, for as long as the component is mounted. */
export function useModel(source: string): Loading {
  const [loading, setLoading] = useState<Loading>({});
  useEffect(() => {
    const abort = new AbortController();
    const show = (next: Loading) => {
      if (!abort.signal.aborted) setLoading(next);
    };
    const loaded = loadModel(source, {
      signal: abort.signal,
      onProgress: ({ phase, loadedBytes, totalBytes }) => show({ progress: `${phase} ${loadedBytes}/${totalBytes}` }),
    });
    loaded.then(
      (model) => show({ model }),
      (error: Error) => show({ error }),
    );
    return () => {
      abort.abort();
      setLoading({});
      // An aborted load leaves nothing to dispose of; one that had ended in time leaves its model.
      loaded.then((model) => model.dispose()).catch(() => {});
    };
  }, [source]);
  return loading;
}
