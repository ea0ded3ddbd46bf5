/** How long a database rests after a failed pass: doubling, bounded, with jitter so that many do not return at once. */
export const backoffBaseMs = 500
export const backoffLimitMs = 60_000

/** `attempts` counts passes since the last good one, from 1; `random` is in [0, 1). */
export function backoffMs(attempts: number, random: number): number {
  const doubled = backoffBaseMs * 2 ** Math.min(Math.max(attempts - 1, 0), 16)
  return Math.round(Math.min(doubled, backoffLimitMs) * (0.75 + random / 2))
}
