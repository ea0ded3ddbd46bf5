/**
 * Backups as the object store itself shows them. What pgBackRest says of a backup is not enough: a set counts when its
 * files are listed in the store, none of them empty where it must not be.
 */
import type { EngineClient } from '../clients/docker.ts'
import type { ObjectStore } from '../clients/s3.ts'
import type { Action, StoreRecord } from '../domain/action.ts'
import type { Desired, Instance } from '../domain/desired.ts'
import { describeError, HoldfastError } from '../domain/errors.ts'
import type { ActionResult } from '../domain/ports.ts'
import { expireCommand } from '../render/restore.ts'

type ActionOf<Kind extends Action['kind']> = Extract<Action, { readonly kind: Kind }>

export interface Repositories {
  readonly store: ObjectStore
  readonly bucket: string
}

export const stanza = 'main'

/** A set of more files than this belongs to a database far beyond our tiers: listing it would hold up a pass. */
const maxObjects = 500_000
/** Sets looked at in one pass; the rest wait for the next. */
const maxSetsPerPass = 200

export async function readBackBackup(repositories: Repositories, action: ActionOf<'readBackBackup'>, desired: Desired, signal: AbortSignal): Promise<ActionResult> {
  const prefix = prefixOf(desired, action.instanceId)
  const missing = await firstMissing(repositories, requiredKeys(prefix, action.label), signal)
  if (missing !== null) return failed(action, `${missing} is missing or empty in the store`)
  const set = await weigh(repositories, `${prefix}backup/${stanza}/${action.label}/`, signal)
  const facts = { repositoryBytes: set.bytes, objectCount: set.count }
  return { records: [{ kind: 'backupState', backupId: action.backupId, state: 'verified', facts }] }
}

/** The catalogue of the repository and of the set, each in its two copies. */
function requiredKeys(prefix: string, label: string): string[] {
  const base = `${prefix}backup/${stanza}/`
  return [`${base}backup.info`, `${base}backup.info.copy`, `${base}${label}/backup.manifest`, `${base}${label}/backup.manifest.copy`]
}

async function firstMissing({ store, bucket }: Repositories, keys: readonly string[], signal: AbortSignal): Promise<string | null> {
  const seen = await Promise.all(keys.map((key) => store.headObject(bucket, key, signal)))
  const at = seen.findIndex((object) => object === null || object.sizeBytes === 0)
  return at === -1 ? null : keys[at] ?? null
}

async function weigh({ store, bucket }: Repositories, prefix: string, signal: AbortSignal): Promise<{ bytes: number; count: number }> {
  let bytes = 0
  let count = 0
  for await (const object of store.listObjects(bucket, prefix, signal)) {
    bytes += object.sizeBytes
    count += 1
    if (count > maxObjects) throw new HoldfastError('ReadBackFailed', `The backup ${prefix} has more than ${maxObjects} objects`)
  }
  return { bytes, count }
}

/** Not an error of the pass: the store was asked and said no, and asking again would not change it. */
function failed({ backupId, label }: ActionOf<'readBackBackup'>, why: string): ActionResult {
  const failure = { code: 'ReadBackFailed', message: `The backup ${label} could not be read back: ${why}` }
  const note = { severity: 'error', reason: 'BackupFailed', message: `${failure.message}. It does not count; request a new one.`, facts: { backupId, label } } as const
  return { records: [{ kind: 'backupState', backupId, state: 'failed', facts: { failure } }, { kind: 'event', note }] }
}

/** Lets the agent expire what retention no longer wants, and notes which sets are gone. A repository that cannot be recognised expires nothing. */
export async function expireBackups(
  repositories: Repositories, agent: Agent, action: ActionOf<'expireBackups'>, desired: Desired, signal: AbortSignal,
): Promise<ActionResult> {
  const prefix = prefixOf(desired, action.instanceId)
  const trouble = await expire(agent, signal)
  const gone = await goneSets(repositories, prefix, action, desired, signal)
  return { records: trouble === null ? gone : [...gone, trouble] }
}

export interface Agent {
  readonly engine: EngineClient
  readonly container: string
}

const jobProgram = '/usr/libexec/holdfast/job'
/** Bounded by a pass; what is left over expires after the next backup. */
const expireTimeoutMs = 30_000

/** What kept it from expiring; never an error, because the backup that was just read back counts all the same. */
async function expire({ engine, container }: Agent, signal: AbortSignal): Promise<StoreRecord | null> {
  const seen = await engine.findContainer(container, signal)
  if (seen?.state !== 'running') return expiryTrouble('the backup agent does not run')
  try {
    const { exitCode, stdout } = await engine.exec(seen.id, [jobProgram, ...expireCommand.slice(1)], { timeoutMs: expireTimeoutMs }, signal)
    return exitCode === 0 ? null : expiryTrouble(stdout.trim().split('\n').at(-1)?.slice(0, 400) ?? '')
  } catch (error) {
    signal.throwIfAborted()
    return expiryTrouble(describeError(error))
  }
}

function expiryTrouble(why: string): StoreRecord {
  const message = `Old backups could not be expired: ${why}. They are kept until it succeeds, at the latest after the next backup.`
  return { kind: 'event', note: { severity: 'warning', reason: 'BackupExpiryFailed', message } }
}

async function goneSets(
  repositories: Repositories, prefix: string, action: ActionOf<'expireBackups'>, desired: Desired, signal: AbortSignal,
): Promise<StoreRecord[]> {
  const catalogue = await firstMissing(repositories, [`${prefix}backup/${stanza}/backup.info`], signal)
  if (catalogue !== null) throw new HoldfastError('ReadBackFailed', `The repository has no catalogue: ${catalogue} is missing`)
  const counted = desired.backups.filter((backup) => backup.instanceId === action.instanceId && backup.state === 'verified').slice(-maxSetsPerPass)
  const records = await Promise.all(counted.map(async ({ id, label }): Promise<StoreRecord[]> => {
    if (label === null) return []
    const manifest = `${prefix}backup/${stanza}/${label}/backup.manifest`
    const gone = (await repositories.store.headObject(repositories.bucket, manifest, signal)) === null
    return gone ? [{ kind: 'backupState', backupId: id, state: 'expired' }] : []
  }))
  return records.flat()
}

export async function purgeRepositories(repositories: Repositories, action: ActionOf<'purgeRepositories'>, desired: Desired, signal: AbortSignal): Promise<ActionResult> {
  for (const instanceId of action.instanceIds) {
    await repositories.store.deletePrefix(repositories.bucket, prefixOf(desired, instanceId), signal)
  }
  return { records: [{ kind: 'finalizerDone', finalizer: 'backups' }] }
}

const lineagePattern = /^\/lineages\/[0-9a-z-]+$/

/** Where an instance's repository lies in the bucket, with a slash at its end. */
function prefixOf(desired: Desired, instanceId: string): string {
  const instance = desired.instances.find((candidate: Instance) => candidate.id === instanceId)
  if (instance === undefined) throw new Error(`instance ${instanceId} does not belong to database ${desired.database.id}`)
  // Everything below it may be deleted: a path of another shape must never get here.
  if (!lineagePattern.test(instance.repository.path)) throw new Error(`not the path of a lineage: ${instance.repository.path}`)
  return `${instance.repository.path.slice(1)}/`
}
