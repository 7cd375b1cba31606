import { VEZA_URL } from "./environment.ts";

/** Stops before the first journey, with one message, where there is nothing to travel to. */
export default async function reachable(): Promise<void> {
  const response = await fetch(VEZA_URL, { signal: AbortSignal.timeout(10_000) }).catch((cause: unknown) => {
    throw new Error(`nothing answers at VEZA_URL ${VEZA_URL}`, { cause });
  });
  if (!response.ok) throw new Error(`VEZA_URL ${VEZA_URL} answers ${response.status}`);
}
