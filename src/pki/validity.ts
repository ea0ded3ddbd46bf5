/** The dates that are written into a certificate. Pure: the time is an argument. */
import type { Validity } from '../domain/validity.ts'

/** Peers whose clock is this much behind still accept a certificate at once. */
const clockSkewMs = 5 * 60_000
/** For lives of minutes (tests) the back-dating shrinks with the life; else such a certificate would be born due for renewal. */
const clockSkewShare = 0.1

export function validity(now: Date, validityMs: number): Validity {
  const backdatedMs = Math.min(clockSkewMs, validityMs * clockSkewShare)
  return { notBefore: wholeSecond(now.getTime() - backdatedMs), notAfter: wholeSecond(now.getTime() + validityMs) }
}

/** Certificates carry whole seconds. */
function wholeSecond(epochMs: number): Date {
  return new Date(Math.floor(epochMs / 1000) * 1000)
}
