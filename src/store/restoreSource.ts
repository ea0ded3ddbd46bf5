/** Which backup a restore begins from: one that was read back, and that ended before the time to recover to. */
import { z } from 'zod'
import type { RestoreSource } from '../domain/action.ts'
import { HoldfastError } from '../domain/errors.ts'
import { notFound } from './notFound.ts'
import { time, type Sql } from './sql.ts'

export interface RestorePoint {
  /** By default the newest usable backup that ended before `targetTime`. */
  readonly backupId?: string
  /** Recovers to this time; by default to the end of the backup itself. */
  readonly targetTime?: Date
}

export interface ChosenSource {
  readonly backupId: string
  readonly source: RestoreSource
}

const candidateRow = z.object({
  id: z.string(),
  instanceId: z.string(),
  label: z.string().nullable(),
  state: z.string(),
  finishedAt: time.nullable(),
  isKept: z.boolean(),
  now: time,
})

type Candidate = z.output<typeof candidateRow>

export async function chooseRestoreSource(sql: Sql, databaseId: string, point: RestorePoint): Promise<ChosenSource> {
  const candidates = await sql.many(
    candidateRow,
    `select b.id, b.instance_id as "instanceId", b.label, b.state, b.finished_at as "finishedAt", now() as now,
            coalesce(d.backups_kept_until > now(), true) as "isKept"
       from backups b join databases d on d.id = b.database_id
      where b.database_id = $1 and ($2::uuid is null or b.id = $2)
      order by b.finished_at desc nulls last`,
    [databaseId, point.backupId ?? null],
  )
  if (point.backupId !== undefined && candidates.length === 0) throw notFound('backup', point.backupId)
  const { id, instanceId, label } = choose(candidates, point)
  return { backupId: id, source: { databaseId, instanceId, label, targetTime: point.targetTime?.toISOString() ?? null } }
}

interface Usable extends Candidate {
  readonly label: string
  readonly finishedAt: Date
}

function choose(candidates: readonly Candidate[], { targetTime, backupId }: RestorePoint): Usable {
  const usable = candidates.filter(isUsable)
  if (usable.length === 0) throw noUsableBackup(candidates[0], backupId)
  if (targetTime === undefined) return first(usable)
  const earlier = usable.filter(({ finishedAt }) => finishedAt <= targetTime)
  if (earlier.length > 0 && targetTime <= first(usable).now) return first(earlier)
  throw outOfRange(usable, targetTime)
}

function isUsable(candidate: Candidate): candidate is Usable {
  return candidate.state === 'verified' && candidate.label !== null && candidate.finishedAt !== null && candidate.isKept
}

function first<T>([value]: readonly T[]): T {
  if (value === undefined) throw new HoldfastError('Internal', 'A list that has a first element has none.')
  return value
}

function noUsableBackup(candidate: Candidate | undefined, backupId: string | undefined): HoldfastError {
  const which = backupId === undefined ? 'The database has no backup that can be restored' : `The backup ${backupId} cannot be restored`
  const why = candidate === undefined ? '' : candidate.isKept ? ` (its state is ${candidate.state})` : ' (its retention is over)'
  return new HoldfastError('BackupNotUsable', `${which}${why}.`, { next: 'Choose a backup in the state verified, or take one.' })
}

function outOfRange(usable: readonly Usable[], targetTime: Date): HoldfastError {
  const earliest = new Date(Math.min(...usable.map(({ finishedAt }) => finishedAt.getTime())))
  const message = `The time ${targetTime.toISOString()} cannot be restored: it must lie between ${earliest.toISOString()} and now.`
  return new HoldfastError('RestorePointOutOfRange', message, { next: 'Choose a time in that range, or an earlier backup.', facts: { earliest } })
}
