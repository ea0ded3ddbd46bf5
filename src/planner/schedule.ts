/** When a backup is due, by the schedule. Pure: asks the clock nothing, and means UTC, which has no summer time. */
import { Cron } from 'croner'
import type { Backup } from '../domain/desired.ts'
import type { Tier } from '../domain/tiers.ts'

export type BackupKind = Backup['kind']
type Schedule = Pick<Tier['backups'], 'full' | 'incremental'>

/** The moments that an expression names before and after a moment. */
interface Slot {
  /** The latest one at or before it; null when there never was one. */
  readonly latest: Date | null
  /** The first one after it; null when there will be none. */
  readonly next: Date | null
}

/** The latest moment at or before `now` that the expression names. */
export function latestRun(expression: string, now: Date): Date | null {
  return slotAt(expression, now).latest
}

/** What is due now, given the backups taken or under way since; `since` is when the database began. */
export function dueBackup(schedule: Schedule, backups: readonly Backup[], since: Date, now: Date): BackupKind | null {
  const full = latestRun(schedule.full, now)
  const fulls = backups.filter((backup) => backup.kind === 'full')
  if (full !== null && full > since && !coveredSince(fulls, full)) return 'full'
  const incremental = latestRun(schedule.incremental, now)
  if (incremental !== null && incremental > since && !coveredSince(backups, incremental)) return 'incremental'
  return null
}

/** A failed attempt covers its slot too: it is reported, and the next slot tries again. */
function coveredSince(backups: readonly Backup[], moment: Date): boolean {
  return backups.some((backup) => backup.requestedAt >= moment)
}

/** The latest moment at or before `now` at which any backup was due. */
export function latestDue(schedule: Schedule, now: Date): Date | null {
  return ofTimes(Math.max, [latestRun(schedule.full, now), latestRun(schedule.incremental, now)])
}

/** When to look again for a due backup. */
export function nextDue(schedule: Schedule, now: Date): Date | null {
  return ofTimes(Math.min, [slotAt(schedule.full, now).next, slotAt(schedule.incremental, now).next])
}

function ofTimes(choose: (...times: number[]) => number, candidates: readonly (Date | null)[]): Date | null {
  const times = candidates.filter((time) => time !== null).map((time) => time.getTime())
  return times.length === 0 ? null : new Date(choose(...times))
}

/**
 * Between two moments the answer stays the same, and asking the library costs a fifth of a millisecond, so it is kept.
 * Few expressions are in use at once: those of the tiers or of the settings. Of each a pass asks two: the slot of now, and
 * that of the moment before which a backup that is still missing counts as late.
 */
const slots = new Map<string, readonly Slot[]>()
const mostExpressions = 32
const slotsEach = 2

function slotAt(expression: string, now: Date): Slot {
  const kept = slots.get(expression) ?? []
  const known = kept.find((slot) => isWithin(slot, now))
  if (known !== undefined) return known
  const slot = findSlot(expression, now)
  if (slots.size >= mostExpressions) slots.clear()
  slots.set(expression, [slot, ...kept].slice(0, slotsEach))
  return slot
}

function isWithin({ latest, next }: Slot, now: Date): boolean {
  return latest !== null && next !== null && latest <= now && now < next
}

/** The library thinks in whole seconds and gives moments before and after one of them, never that one itself. */
function findSlot(expression: string, now: Date): Slot {
  const cron = new Cron(expression, { timezone: 'UTC', paused: true })
  const second = Math.floor(now.getTime() / 1_000) * 1_000
  const [latest] = cron.previousRuns(1, new Date(second + 1_000))
  return { latest: latest ?? null, next: cron.nextRun(new Date(second)) }
}
