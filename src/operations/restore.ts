/**
 * restore: fills the data volume of a new database from another one's repository. The source is only read.
 * Phases: makingVolume → restoringFiles → (of a cluster: adopting →) awaitingReady. There is no point of no return: until the end,
 * deleting the new database undoes everything.
 * Of a cluster the first member's volume is restored. Its Patroni may only take up data that are there, never make new ones, and the
 * other members only copy; the cluster serves once a leader is seen with the very data that were restored.
 */
import { z } from 'zod'
import type { RestoreSource } from '../domain/action.ts'
import type { Instance, Member } from '../domain/desired.ts'
import { jobId } from '../domain/names.ts'
import type { JobSeen } from '../domain/observed.ts'
import { act, merge, nothing, record, waitFor, type Part } from '../domain/part.ts'
import { stay, type Decision, type Machine, type MachineInput, type Next } from './machine.ts'
import { isWhole } from '../domain/cluster.ts'
import { engineOf, jobOf, primaryOf } from '../domain/reading.ts'

export const restoreInputSchema = z.object({
  databaseId: z.string(),
  instanceId: z.string(),
  label: z.string(),
  targetTime: z.string().nullable(),
}) satisfies z.ZodType<RestoreSource>

const notesSchema = z.object({ attempt: z.number().int().min(1).default(1) })
const adoptedSchema = z.object({ systemIdentifier: z.string() })

/** From here on the planner makes the cluster, although it does not serve yet. */
const adoptingPhase = 'adopting'
const maxAttempts = 3
const lookMs = 700
/** A restore whose progress stands still for this long hangs; replaying the WAL of one busy day takes less. */
const stallMs = 60 * 60_000
/** The files are restored and recovered by then: what is left is an ordinary start, of a cluster too. */
const readyMs = 15 * 60_000

export const restoreMachine: Machine = {
  kind: 'restore',
  version: 2,
  firstPhase: 'makingVolume',
  pointOfNoReturn: null,
  decide(input) {
    switch (input.operation.phase) {
      case 'makingVolume':
        return makingVolume(input)
      case 'restoringFiles':
        return restoringFiles(input)
      case adoptingPhase:
        return adopting(input)
      case 'awaitingReady':
        return awaitingReady(input)
    }
    return give('UnknownPhase', `this controller does not know the phase ${input.operation.phase}`, 'Update the controller.')
  },
}

interface Target {
  readonly instance: Instance
  readonly member: Member
}

function target(input: MachineInput): Target | null {
  const instance = input.desired.instances.find((one) => one.role === 'restoring')
  const member = instance?.members[0]
  return instance === undefined || member === undefined ? null : { instance, member }
}

function makingVolume(input: MachineInput): Decision {
  const found = target(input)
  if (found === null) return give('NothingToRestore', 'the new database has no instance that is being restored', 'Delete it and restore again.')
  const { instance, member } = found
  const engine = engineOf(input.observed, member.hostId)
  if (!engine.known) return stay(waitFor('the host to be seen', lookMs), `its host to be seen (${engine.reason})`)
  if (hasVolume(input, member)) {
    // the job reads the store with the files of the agent-to-be
    if (!input.blueprints.agents.has(instance.id)) return stay(waitFor('the certificate of the backup agent', lookMs), 'the certificate of its backup agent')
    return { part: soon, next: { to: 'enter', phase: 'restoringFiles', because: 'the data volume is there' } }
  }
  const { database } = input.desired
  const create = act({
    kind: 'createDataVolume', hostId: member.hostId, memberId: member.id, instanceId: instance.id,
    databaseId: database.id, name: input.names.dataVolume(member.id), bytes: database.storageBytes,
  })
  return stay(merge([create, waitFor('the data volume to be made', 100)]), 'the data volume to be made')
}

function hasVolume({ observed, names }: MachineInput, member: Member): boolean {
  const engine = engineOf(observed, member.hostId)
  return engine.known && engine.value.volumes.some((volume) => volume.name === names.dataVolume(member.id))
}

function restoringFiles(input: MachineInput): Decision {
  const found = target(input)
  if (found === null) return { part: soon, next: { to: 'enter', phase: 'awaitingReady', because: 'the files were restored' } }
  const { attempt } = notesSchema.parse(input.operation.notes)
  const id = jobId.restore(input.operation.id, attempt)
  const job = jobOf(input.observed, found.instance, id)
  if (job === undefined) return startJob(input, found, id)
  if (!job.known) return stay(waitFor('the restore job to be seen', lookMs), `the restore job to be seen (${job.reason})`)
  const { result } = job.value
  if (result === null) return underWay(input, found.member, job.value, attempt)
  if (!result.ok) return retry(attempt, `${result.code}: ${result.message}`)
  return restored(found.instance, result.facts)
}

function underWay({ operation, now }: MachineInput, member: Member, job: JobSeen, attempt: number): Decision {
  const stillForMs = now.getTime() - Math.max(operation.progressedAt.getTime(), job.container.since.getTime())
  if (stillForMs < stallMs) return stay(waitFor('the files to be restored', lookMs), 'the files to be restored', progressOf(job))
  const { part, next } = retry(attempt, `it made no progress for ${stallMs / 60_000} minutes`)
  // two of them would write the same volume
  const end = act({ kind: 'removeContainer', hostId: member.hostId, containerId: job.container.id, name: job.container.name })
  return { part: merge([end, part]), next }
}

function startJob(input: MachineInput, { instance, member }: Target, id: string): Decision {
  const source = restoreInputSchema.parse(input.operation.input)
  if (!hasVolume(input, member)) return { part: soon, next: { to: 'enter', phase: 'makingVolume', because: 'the data volume is gone again' } }
  const store = input.observed.objectStore
  if (!store.known) return stay(waitFor('the object store', 5 * lookMs), `the object store to answer (${store.reason})`)
  const start = act({ kind: 'startJob', order: { job: 'restore', jobId: id, instanceId: instance.id, source } })
  return stay(merge([start, waitFor('the restore job to start', 200)]), 'the restore job to start')
}

function restored(instance: Instance, facts: Readonly<Record<string, unknown>>): Decision {
  const { systemIdentifier } = facts
  if (typeof systemIdentifier !== 'string') return give('NoIdentity', 'the restore did not say which cluster it restored', 'Delete the new database and restore again.')
  if (instance.kind === 'cluster') {
    return { part: soon, next: { to: 'enter', phase: adoptingPhase, because: 'the files of the first member were restored and recovered', notes: { systemIdentifier } } }
  }
  const records = record(
    { kind: 'instanceInitialised', instanceId: instance.id, systemIdentifier },
    { kind: 'instanceRole', instanceId: instance.id, role: 'serving' },
  )
  return { part: { ...records, requeueAfterMs: 0 }, next: { to: 'enter', phase: 'awaitingReady', because: 'the files were restored and recovered' } }
}

/** The planner makes the members meanwhile, and writes down what their leader says of itself. */
function adopting(input: MachineInput): Decision {
  const found = target(input)
  if (found === null) return { part: soon, next: { to: 'enter', phase: 'awaitingReady', because: 'the cluster has taken up the restored data' } }
  const { instance } = found
  const { systemIdentifier } = adoptedSchema.parse(input.operation.notes)
  if (instance.initialisedAt !== null) {
    if (instance.systemIdentifier !== systemIdentifier) return give('ForeignData', `the leader holds the data of ${instance.systemIdentifier ?? 'nobody'} and not those that were restored (${systemIdentifier})`, 'Delete the new database and restore again. The source is untouched.')
    const serving = record({ kind: 'instanceRole', instanceId: instance.id, role: 'serving' })
    return { part: { ...serving, requeueAfterMs: 0 }, next: { to: 'enter', phase: 'awaitingReady', because: 'a member leads with the restored data' } }
  }
  const isSeen = instance.members.every((member) => engineOf(input.observed, member.hostId).known)
  if (isSeen && input.now.getTime() - input.operation.phaseEnteredAt.getTime() > readyMs) {
    return give('NotAdopted', `no member took up the restored data within ${readyMs / 60_000} minutes`, 'Look at the logs of its members; delete it and restore again. The source is untouched.')
  }
  return stay(waitFor('a member to lead with the restored data', lookMs), 'a member to lead with the restored data')
}

/** While its host cannot be seen nothing is known against it, so no deadline counts. */
function awaitingReady(input: MachineInput): Decision {
  const { operation, now } = input
  const instance = input.desired.instances.find((one) => one.role === 'serving')
  const primary = instance === undefined ? null : primaryOf(input.observed, instance)
  const hasDatabase = primary?.databases.includes(input.desired.database.databaseName) === true
  // a write in a cluster waits for replicas: until they have copied the data, however large, nobody can do much there
  if (hasDatabase && instance?.kind === 'cluster' && !isWhole(input.observed, instance)) {
    return stay(waitFor('the replicas to be copied', lookMs), 'the replicas to be copied from the restored data')
  }
  if (hasDatabase) {
    return { part: nothing, next: { to: 'finish', outcome: 'succeeded', because: 'the restored database accepts writes' } }
  }
  const isSeen = instance?.members.every((member) => engineOf(input.observed, member.hostId).known) === true
  if (isSeen && now.getTime() - operation.phaseEnteredAt.getTime() > readyMs) {
    return give('NotReady', `the restored database did not accept connections within ${readyMs / 60_000} minutes`, 'Look at its conditions; delete it and restore again if they do not get better. The source is untouched.')
  }
  return stay(waitFor('the restored database to accept connections', lookMs), 'the restored database to accept connections')
}

function retry(attempt: number, why: string): Decision {
  if (attempt >= maxAttempts) return give('RestoreFailed', `the restore failed ${maxAttempts} times (${why})`, 'Delete the new database; choose another backup or time and restore again. The source is untouched.')
  return { part: waitFor('the next attempt', lookMs), next: { to: 'enter', phase: 'restoringFiles', because: `attempt ${attempt} failed: ${why}`, notes: { attempt: attempt + 1 } } }
}

function progressOf(job: JobSeen): Readonly<Record<string, unknown>> {
  return job.progress === null ? {} : { ...job.progress }
}

const soon: Part = { ...nothing, requeueAfterMs: 0 }

function give(code: string, message: string, next: string): Decision {
  const finish: Next = { to: 'finish', outcome: 'failed', because: message, failure: { code, message, next } }
  return { part: nothing, next: finish }
}
