/** RFC 6455's registry: the server restarts and asks clients to come back. */
export const SERVICE_RESTART = 1012;

const FIRST_MS = 500;
const MOST_MS = 15_000;

/**
 * How long to wait before the next try. Doubles with every failure in a row; half of it is chance, so that the
 * listeners of a replica do not all come back in one instant.
 *
 * @param failures failed tries since the last echo, from 0
 * @param chance uniform in [0, 1)
 */
export function retryDelay_ms(code: number, failures: number, chance: number): number {
  // After an orderly restart another replica is already there.
  const first_ms = code === SERVICE_RESTART ? FIRST_MS / 2 : FIRST_MS;
  const bound_ms = Math.min(first_ms * 2 ** failures, MOST_MS);
  return Math.round(bound_ms / 2 + (bound_ms / 2) * chance);
}
