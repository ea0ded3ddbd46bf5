/** From when to when a certificate is valid, and when it is time for the next one. Pure: the time is an argument. */

/** Peers whose clock is this much behind still accept a certificate at once. */
const clockSkewMs = 5 * 60_000
/** For lives of minutes (tests) the back-dating shrinks with the life; else such a certificate would be born due for renewal. */
const clockSkewShare = 0.1
/** A third of the life is left to renew in, retry in, and be noticed in. */
const renewAfterShare = 2 / 3

export interface Validity {
  readonly notBefore: Date
  readonly notAfter: Date
}

export function validity(now: Date, validityMs: number): Validity {
  const backdatedMs = Math.min(clockSkewMs, validityMs * clockSkewShare)
  return { notBefore: wholeSecond(now.getTime() - backdatedMs), notAfter: wholeSecond(now.getTime() + validityMs) }
}

/** Holds for leaves and for authorities: a successor is announced while certificates of the old one still have a third to live. */
export function needsRenewal({ notBefore, notAfter }: Validity, now: Date): boolean {
  return now.getTime() >= renewAt({ notBefore, notAfter }).getTime()
}

/** When `needsRenewal` becomes true: the moment to look again. */
export function renewAt({ notBefore, notAfter }: Validity): Date {
  return new Date(notBefore.getTime() + (notAfter.getTime() - notBefore.getTime()) * renewAfterShare)
}

/** Certificates carry whole seconds. */
function wholeSecond(epochMs: number): Date {
  return new Date(Math.floor(epochMs / 1000) * 1000)
}
