/** Roles and functions inside PostgreSQL: ours, and one login role for each credential of the customer. */
import type { Credential, Member } from '../domain/desired.ts'
import type { PostgresSeen, RoleSeen } from '../domain/observed.ts'
import { preparedVersion } from '../domain/prepared.ts'
import { act, lookAgain, merge, nothing, record, waitFor, type Part, type PlanInput } from '../domain/part.ts'

/** While two passwords overlap, "who still uses the old one" is looked at this often. */
const overlapLookMs = 30_000

export function planCredentials(input: PlanInput, member: Member, seen: PostgresSeen): Part {
  const { desired, now } = input
  const stale = seen.preparedVersion !== preparedVersion
    || !seen.databases.includes(desired.database.databaseName)
    || desired.credentials.some((credential) => !isInPlace(credential, seen.roles, now))
  const prepare = stale
    ? merge([act({ kind: 'prepareDatabase', memberId: member.id }), waitFor('roles and database to be prepared', 100)])
    : nothing
  return merge([prepare, ...desired.credentials.map((credential) => planOverlap(credential, seen.roles, now))])
}

function isInPlace(credential: Credential, roles: readonly RoleSeen[], now: Date): boolean {
  const role = roles.find((candidate) => candidate.name === credential.roleName)
  if (isOver(credential, now)) return role === undefined || (!role.canLogin && role.sessions === 0)
  return role !== undefined && role.canLogin && role.verifier === credential.verifier.reveal()
}

function planOverlap(credential: Credential, roles: readonly RoleSeen[], now: Date): Part {
  if (credential.endsAt === null || credential.endedAt !== null) return nothing
  const role = roles.find((candidate) => candidate.name === credential.roleName)
  if (isOver(credential, now)) {
    return role?.canLogin === true ? nothing : record({ kind: 'credentialEnded', credentialId: credential.id })
  }
  const untilEnd = Math.max(0, credential.endsAt.getTime() - now.getTime())
  const look = lookAgain(Math.min(overlapLookMs, untilEnd))
  if (role === undefined || role.sessions === 0) return look
  return merge([look, note(credential)])
}

function note(credential: Credential): Part {
  // a note on the way, not a change: it must not keep the database from being settled, hence the store writes it at most twice a minute
  return record({ kind: 'credentialSeen', credentialId: credential.id })
}

export function isOver(credential: Credential, now: Date): boolean {
  return credential.endedAt !== null || (credential.endsAt !== null && credential.endsAt <= now)
}
