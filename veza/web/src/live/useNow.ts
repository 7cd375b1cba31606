import { useEffect, useState } from "react";

/** The page's monotonic clock in ms, renewed every second. */
export function useNow(): number {
  const [now_ms, setNow] = useState(() => performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  return now_ms;
}
