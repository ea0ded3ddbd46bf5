/**
 * What may be asked of a cluster: a switchover, a rolling restart, a member made anew. Members are named as the API names
 * them or by id. What a member is comes from what the last pass saw, so it only spares a wait: the operation looks itself.
 */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { HoldfastError } from '../domain/errors.ts'
import { type Actor } from './actor.ts'
import { changeDatabase, refuseDeleting, refusePaused, type Changing } from './changeDatabase.ts'
import type { Sql } from './sql.ts'
import { beginOperation, type OperationRequest } from './startOperation.ts'
import type { ControlDatabase } from './transaction.ts'
import type { OperationView } from './views.ts'

export type ClusterOrder =
  /** `candidate`: null leaves the choice to the cluster. */
  | { readonly kind: 'switchover'; readonly candidate: string | null }
  | { readonly kind: 'restart' }
  | { readonly kind: 'reinitialise'; readonly member: string }

export async function orderOfCluster(database: ControlDatabase, databaseId: string, order: ClusterOrder, actor: Actor): Promise<OperationView> {
  const id = randomUUID()
  return changeDatabase(database, databaseId, async (sql, change) => {
    refuseDeleting(change)
    refusePaused(change)
    const members = await membersOf(sql, databaseId, change)
    return beginOperation(sql, change, { ...requestFor(order, members), id, databaseId }, actor)
  })
}

const memberRow = z.object({ id: z.string(), name: z.string(), role: z.string().nullable(), isInitialised: z.boolean() })
type MemberRow = z.output<typeof memberRow>

/** Errors: `NotHighlyAvailable`, `DatabaseNotReady`. */
async function membersOf(sql: Sql, databaseId: string, { name, topology }: Changing): Promise<readonly MemberRow[]> {
  if (topology !== 'ha') {
    throw new HoldfastError('NotHighlyAvailable', `The database ${name} is one server: this is for highly available databases.`, {
      next: 'Look at topology before asking.', facts: { topology },
    })
  }
  const members = await sql.many(
    memberRow,
    `select m.id, 'member-' || m.ordinal as name, m.status ->> 'role' as role, i.initialised_at is not null as "isInitialised"
       from members m join instances i on i.id = m.instance_id
      where i.database_id = $1 and i.role = 'serving' and i.kind = 'cluster' order by m.ordinal`,
    [databaseId],
  )
  if (members.length > 0 && members.every(({ isInitialised }) => isInitialised)) return members
  throw new HoldfastError('DatabaseNotReady', `The cluster of the database ${name} is not made yet.`, { next: 'Wait until the database is Ready.' })
}

function requestFor(order: ClusterOrder, members: readonly MemberRow[]): OperationRequest {
  switch (order.kind) {
    case 'switchover': {
      const candidateId = order.candidate === null ? null : replica(members, order.candidate, 'candidate').id
      return { kind: 'switchover', input: { candidateId } }
    }
    case 'restart':
      return { kind: 'restart', input: {} }
    case 'reinitialise':
      return { kind: 'reinitialise', input: { memberId: replica(members, order.member, 'member').id } }
  }
}

/** Errors: `InvalidRequest`, `MemberIsLeader`. */
function replica(members: readonly MemberRow[], asked: string, field: string): MemberRow {
  const member = members.find(({ id, name }) => id === asked || name === asked)
  if (member === undefined) {
    const names = members.map(({ name }) => name)
    throw new HoldfastError('InvalidRequest', `body.${field}: is no member of this database.`, { next: `Give one of ${names.join(', ')}, or its id.`, facts: { members: names } })
  }
  if (member.role !== 'leader') return member
  throw new HoldfastError('MemberIsLeader', `${member.name} leads the cluster now.`, {
    next: field === 'member' ? 'Ask for a switchover first, then make it anew as a replica.' : 'Choose a replica.', facts: { memberId: member.id },
  })
}
