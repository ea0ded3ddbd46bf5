/** From when to when a certificate is valid, and when it is time for the next one: the one rule for everything that is signed. */

export interface Validity {
  readonly notBefore: Date
  readonly notAfter: Date
}

/** A third of the life is left to renew in, retry in, and be noticed in. */
const renewAfterShare = 2 / 3

export function renewalTime(validity: Validity): Date {
  return momentOf(validity, renewAfterShare)
}

export function needsRenewal(validity: Validity, now: Date): boolean {
  return now >= renewalTime(validity)
}

/** When this share of the life is over. */
export function momentOf({ notBefore, notAfter }: Validity, share: number): Date {
  return new Date(notBefore.getTime() + (notAfter.getTime() - notBefore.getTime()) * share)
}
