/**
 * Backups of a serving instance. A backup is taken by a job, verified by a job that reads every file of it, and read
 * back from the store by us; only then does it count. Jobs have names, so a restarted controller finds them again.
 */
import type { BackupFacts, JobOrder } from '../domain/action.ts'
import type { Backup, Instance } from '../domain/desired.ts'
import { jobId } from '../domain/names.ts'
import type { JobSeen, PostgresSeen } from '../domain/observed.ts'
import { act, lookAgain, merge, nothing, record, waitFor, type Part, type PlanInput } from '../domain/part.ts'
import { hasWalGap, isOpen, jobOf } from '../domain/reading.ts'
import { removeJob } from './jobs.ts'
import { dueBackup, nextDue } from './schedule.ts'

/** After this many attempts a backup has failed; the schedule makes the next one. */
export const maxAttempts = 3
const retryBaseMs = 15_000
const jobLookMs = 1_000
/** A job that runs longer than this hangs: pgBackRest gives up a silent connection long before. */
const longestJobMs = 24 * 60 * 60_000
/** A far schedule must not become a far timer: the resync is the upper bound anyway. */
const longestWishMs = 60 * 60_000
/** A last backup that failed is tried again after this: nobody else asks for one, and the deletion waits for it. */
export const finalBackupRestMs = 15 * 60_000

export function planBackups(input: PlanInput, instance: Instance, primary: PostgresSeen): Part {
  const own = input.desired.backups.filter((backup) => backup.instanceId === instance.id)
  const open = own.find((backup) => isOpen(backup.state))
  return open === undefined ? planNew(input, instance, own) : planOpen({ input, instance, primary, backup: open })
}

interface Taking {
  readonly input: PlanInput
  readonly instance: Instance
  readonly primary: PostgresSeen
  readonly backup: Backup
}

function planNew(input: PlanInput, instance: Instance, own: readonly Backup[]): Part {
  const { desired, now } = input
  if (desired.database.deletionRequestedAt !== null) return planFinal(input, instance, own)
  const request = (backup: Backup['kind'], trigger: 'initial' | 'scheduled'): Part =>
    ({ ...record({ kind: 'requestBackup', instanceId: instance.id, backup, trigger }), requeueAfterMs: 0 })
  if (own.length === 0) return request('full', 'initial')
  const { schedule } = input
  const due = dueBackup(schedule, own, instance.initialisedAt ?? desired.database.createdAt, now)
  if (due !== null) return request(own.some((backup) => backup.state === 'verified') ? due : 'full', 'scheduled')
  const next = nextDue(schedule, now)
  return next === null ? nothing : lookAgain(Math.min(next.getTime() - now.getTime(), longestWishMs))
}

/** The last backup before a deletion: one that began after the deletion was asked for. A failed one is tried again. */
function planFinal({ desired, now }: PlanInput, instance: Instance, own: readonly Backup[]): Part {
  const { deletionRequestedAt, finalBackup } = desired.database
  if (!finalBackup || deletionRequestedAt === null) return nothing
  const since = own.filter((backup) => backup.requestedAt >= deletionRequestedAt)
  if (since.some((backup) => backup.state !== 'failed')) return nothing
  const rest = Math.max(0, ...since.map((backup) => (backup.finishedAt ?? backup.requestedAt).getTime() + finalBackupRestMs - now.getTime()))
  if (rest > 0) return lookAgain(rest)
  const kind = own.some((backup) => backup.state === 'verified') ? 'incremental' : 'full'
  return { ...record({ kind: 'requestBackup', instanceId: instance.id, backup: kind, trigger: 'final' }), requeueAfterMs: 0 }
}

function planOpen(taking: Taking): Part {
  switch (taking.backup.state) {
    case 'requested':
    case 'running':
      return planTaking(taking)
    case 'verifying':
      return planVerifying(taking)
    case 'verified':
    case 'failed':
    case 'expired':
      return nothing
  }
}

function planTaking(taking: Taking): Part {
  const { input, instance, backup } = taking
  const id = jobId.backup(backup.id, backup.attempt)
  const job = jobOf(input.observed, instance, id)
  if (job === undefined) {
    return backup.state === 'running' ? retry(backup, vanished) : planFirstStart(taking, id)
  }
  if (!job.known) return waitFor(`the backup job to be seen (${job.reason})`, jobLookMs)
  const { result } = job.value
  if (result === null) return hangs(input, job.value) ? giveUp(input, backup, job.value) : planWaiting(backup, job.value)
  if (!result.ok) return merge([retry(backup, result), removeJob(input, job.value)])
  return { ...record({ kind: 'backupState', backupId: backup.id, state: 'verifying', facts: backupFacts(result.facts) }), requeueAfterMs: 0 }
}

const vanished = { code: 'JobVanished', message: 'the backup job was removed before it ended' }

function planFirstStart({ input, primary, backup }: Taking, id: string): Part {
  const rest = restMs(input, backup)
  if (rest > 0) return waitFor(`the next attempt of the backup (attempt ${backup.attempt} of ${maxAttempts})`, rest)
  // begun before the archive begins anew it would wait in vain for WAL that is gone
  if (hasWalGap(primary)) return waitFor('the archive to begin anew, to take a backup', jobLookMs)
  return planStart(input, { job: 'backup', jobId: id, instanceId: backup.instanceId, kind: backup.kind })
}

function hangs({ now }: PlanInput, { container }: JobSeen): boolean {
  return now.getTime() - container.since.getTime() > longestJobMs
}

function giveUp(input: PlanInput, backup: Backup, job: JobSeen): Part {
  const message = `the job ${job.container.name} ran for more than ${longestJobMs / 3_600_000} hours`
  return merge([retry(backup, { code: 'JobHung', message }), removeJob(input, job)])
}

/** How long a failed attempt rests before the next one. */
function restMs(input: PlanInput, backup: Backup): number {
  if (backup.attempt === 1 || backup.finishedAt === null) return 0
  return backup.finishedAt.getTime() + retryBaseMs * backup.attempt - input.now.getTime()
}

function planStart(input: PlanInput, order: JobOrder): Part {
  const store = input.observed.objectStore
  if (!store.known) return waitFor(`the object store to answer (${store.reason})`, 5 * jobLookMs)
  return merge([act({ kind: 'startJob', order }), waitFor(`the ${order.job} job to start`, 200)])
}

function planWaiting(backup: Backup, job: JobSeen): Part {
  const wait = waitFor(`the ${backup.kind} backup (${job.progress?.step ?? 'starting'})`, jobLookMs)
  if (backup.state === 'running') return wait
  return merge([wait, record({ kind: 'backupState', backupId: backup.id, state: 'running' })])
}

function planVerifying({ input, instance, backup }: Taking): Part {
  const { label } = backup
  if (label === null) return retry(backup, { code: 'NoLabel', message: 'the backup ended without naming its set' })
  const id = jobId.verify(backup.id, backup.attempt)
  const job = jobOf(input.observed, instance, id)
  const taken = input.observed.jobs.get(jobId.backup(backup.id, backup.attempt))
  const tidy = taken?.known === true ? removeJob(input, taken.value) : nothing
  if (job === undefined) {
    return merge([tidy, planStart(input, { job: 'verify', jobId: id, instanceId: backup.instanceId, label })])
  }
  if (!job.known) return waitFor(`the verification to be seen (${job.reason})`, jobLookMs)
  const { result } = job.value
  if (result === null) return merge([tidy, hangs(input, job.value) ? giveUp(input, backup, job.value) : waitFor('the verification of the backup', jobLookMs)])
  if (!result.ok) return merge([tidy, retry(backup, result), removeJob(input, job.value)])
  return merge([tidy, planReadBack(input, backup, label)])
}

function planReadBack({ observed: { objectStore } }: PlanInput, backup: Backup, label: string): Part {
  if (!objectStore.known) return waitFor(`the object store to answer (${objectStore.reason})`, 5 * jobLookMs)
  return merge([
    act({ kind: 'readBackBackup', backupId: backup.id, instanceId: backup.instanceId, label }, { kind: 'expireBackups', instanceId: backup.instanceId }),
    waitFor('the backup to be read back from the store', jobLookMs),
  ])
}

interface BackupFailure {
  readonly code: string
  readonly message: string
}

function retry(backup: Backup, { code, message: why }: BackupFailure): Part {
  const last = backup.attempt >= maxAttempts
  const failure = { code, message: why }
  const facts: BackupFacts = last ? { failure } : { failure, nextAttempt: true }
  const message = last
    ? `The ${backup.kind} backup failed ${maxAttempts} times: ${why}. The next scheduled backup tries again; to try now, request one.`
    : `The ${backup.kind} backup failed (attempt ${backup.attempt} of ${maxAttempts}): ${why}. It is tried again.`
  return {
    ...record(
      { kind: 'backupState', backupId: backup.id, state: last ? 'failed' : 'requested', facts },
      { kind: 'event', note: { severity: last ? 'error' : 'warning', reason: last ? 'BackupFailed' : 'BackupAttemptFailed', message, facts: { backupId: backup.id, code } } },
    ),
    requeueAfterMs: 0,
  }
}

function backupFacts(facts: Readonly<Record<string, unknown>>): BackupFacts {
  const { label, startLsn, stopLsn, databaseBytes, repositoryBytes } = facts
  return {
    ...(typeof label === 'string' && { label }),
    ...(typeof startLsn === 'string' && { startLsn }),
    ...(typeof stopLsn === 'string' && { stopLsn }),
    ...(typeof databaseBytes === 'number' && { databaseBytes }),
    ...(typeof repositoryBytes === 'number' && { repositoryBytes }),
  }
}
