/**
 * Leases: the right to act on one database for a while. The epoch is the fencing token: it rises with every claim, so a
 * holder whose lease was taken over can change nothing any more, whatever it still believes.
 */
import { HoldfastError } from '../domain/errors.ts'
import type { Sql } from './sql.ts'

export interface Lease {
  readonly databaseId: string
  readonly epoch: number
  readonly holder: string
  readonly until: Date
  /** The newest wake that this pass answers. */
  readonly wakeSeq: number
  /** Passes begun since the last one that ended without an error, this one included. */
  readonly attempts: number
  /** The control database's clock when the lease was taken. */
  readonly now: Date
}

/**
 * Keeps the lease for the rest of the transaction; throws `LeaseLost` when it is no longer this holder's. A lease that
 * ran out but that nobody took over still counts: only an epoch that rose means that somebody else may have acted.
 */
export async function holdLease(sql: Sql, lease: Lease): Promise<void> {
  const held = await sql.run(
    `select from work_items where database_id = $1 and lease_epoch = $2 and lease_holder = $3 for no key update`,
    [lease.databaseId, lease.epoch, lease.holder],
  )
  if (held === 0) throw leaseLost(lease)
}

export function leaseLost({ databaseId, epoch, holder }: Lease): HoldfastError {
  return new HoldfastError('LeaseLost', `The lease of ${holder} on database ${databaseId} is over: another controller has it, or it was given back.`, {
    next: 'Nothing: whoever holds it now goes on.',
    facts: { databaseId, epoch },
  })
}
