/**
 * How one certificate authority follows another without an outage, one step at a time:
 *   announce  the successor is trusted, the old one still signs;
 *   switch    every database was seen to hold the successor, so it signs;
 *   retire    nothing in use was signed by the old one, so it is trusted no more.
 * Decides which step is next, if any; who takes it, and in which order facts are read, is the caller's business.
 */
import { momentOf, needsRenewal, type Validity } from '../domain/validity.ts'

export interface AuthorityFacts extends Validity {
  readonly id: string
  readonly state: 'active' | 'trusted'
}

export interface RolloverFacts {
  readonly authorities: readonly AuthorityFacts[]
  /** Whether every database was seen settled since the authorities were as `authorities` says. */
  readonly everythingSettled: boolean
  /** Ids of the authorities that signed a certificate in use. */
  readonly inUse: ReadonlySet<string>
}

export type RolloverStep =
  | { readonly kind: 'announce' }
  | { readonly kind: 'switch'; readonly authorityId: string }
  | { readonly kind: 'retire'; readonly authorityId: string }

/** From the announcement until then customers, whose trust stores nobody can look at, have time to fetch the successor. */
const switchShare = 5 / 6
/**
 * From then on a database that does not settle is waited for no more. What the old authority signs ends with it: one broken
 * database would cost all the others their certificates.
 */
const lastCallShare = 11 / 12

export function rolloverStep({ authorities, everythingSettled, inUse }: RolloverFacts, now: Date): RolloverStep | null {
  const active = authorities.find(({ state }) => state === 'active')
  if (active === undefined) return null
  const others = authorities.filter((one) => one !== active)
  const isDone = (one: AuthorityFacts): boolean => !follows(one, active) && everythingSettled && !inUse.has(one.id)
  const ended = others.find((one) => one.notAfter <= now || isDone(one))
  if (ended !== undefined) return { kind: 'retire', authorityId: ended.id }
  const successor = others.filter((one) => follows(one, active)).sort((one, other) => other.notAfter.getTime() - one.notAfter.getTime())[0]
  if (successor === undefined) return needsRenewal(active, now) ? { kind: 'announce' } : null
  const maySwitch = now >= momentOf(active, lastCallShare) || (everythingSettled && now >= switchTime(active))
  return maySwitch ? { kind: 'switch', authorityId: successor.id } : null
}

/** The earliest moment at which the successor of `active` begins to sign. */
export function switchTime(active: Validity): Date {
  return momentOf(active, switchShare)
}

/** A successor is made when its predecessor has two thirds of its life behind it, never at the same second. */
function follows(one: AuthorityFacts, active: AuthorityFacts): boolean {
  return one.notBefore > active.notBefore
}
