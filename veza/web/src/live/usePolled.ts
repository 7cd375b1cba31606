import { useEffect, useState } from "react";
import { ApiError } from "../api/client.ts";

export interface Polled<T> {
  /** The last good answer; kept when later ones fail. */
  value: T | undefined;
  /** When it came, on the page's own monotonic clock. */
  at_ms: number;
  /** Why the last try gave nothing. */
  problem: string | undefined;
}

const EVERY_MS = 15_000;

/** Asks now, every 15 s, and whenever `trigger` changes. `ask` must be the same function at every call. */
export function usePolled<T>(ask: (signal: AbortSignal) => Promise<T>, trigger: unknown): Polled<T> {
  const [polled, setPolled] = useState<Polled<T>>({ value: undefined, at_ms: 0, problem: undefined });

  // biome-ignore lint/correctness/useExhaustiveDependencies: the trigger is not used, its change is
  useEffect(() => {
    const abort = new AbortController();
    const poll = async () => {
      try {
        const value = await ask(abort.signal);
        if (!abort.signal.aborted) setPolled({ value, at_ms: performance.now(), problem: undefined });
      } catch (error) {
        if (abort.signal.aborted) return;
        const problem = error instanceof ApiError ? error.message : String(error);
        setPolled((before) => ({ ...before, problem }));
      }
    };
    void poll();
    const timer = setInterval(poll, EVERY_MS);
    return () => {
      clearInterval(timer);
      abort.abort();
    };
  }, [ask, trigger]);

  return polled;
}
