/**
 * Applies what a pass decided, one action at a time. Every action may run twice and may have been cut off half-way before.
 * It decides nothing, and never says that something is so: the next observation does.
 */
import type { EngineClient } from '../clients/docker.ts'
import type { Action, JobOrder } from '../domain/action.ts'
import type { Desired } from '../domain/desired.ts'
import { HoldfastError } from '../domain/errors.ts'
import { label, resourceNames } from '../domain/names.ts'
import type { ActionResult, Executor } from '../domain/ports.ts'
import type { JobBlueprinter, RepositoryKeys } from '../render/blueprints.ts'
import { expireBackups, purgeRepositories, readBackBackup, type Agent, type Repositories } from './backups.ts'
import { holdClients } from './clients.ts'
import { createContainer, installFiles, removeContainer, startContainer, stopContainer } from './containers.ts'
import { cutOver } from './cutover/cutover.ts'
import { rewindServer, startServer } from './cutover/server.ts'
import { surveySource } from './cutover/survey.ts'
import { disksOf } from './disks.ts'
import { endAtOnce, reinitialiseMember, restartPostgres, type MemberTools } from './members.ts'
import { advanceSlot, dropSlot, makeSlot, prepareDatabase, setReadOnly, withPostgres, type PostgresTools } from './postgres.ts'
import { reachMoment } from './restorePoint.ts'
import { configureCluster, prepareScope, removeScope, type ScopeStore } from './scope.ts'
import { createDataVolume, growDataVolume, removeVolume, type VolumeTools } from './volumes.ts'

export interface ExecutorOptions {
  readonly installation: string
  /** Throws `EngineUnreachable` for a host without a configured engine. */
  readonly engines: (hostId: string) => EngineClient
  /** `loop`: each data volume is a file system of its own size, made by the host's disks helper. */
  readonly storageLimit: 'loop' | 'none'
  readonly blueprinter: JobBlueprinter
  /** Path and cipher of an instance's repository, of whichever database: a restore reads another one's. */
  readonly repositoryOf: (instanceId: string, signal: AbortSignal) => Promise<RepositoryKeys>
  /** What is asked for of another database: the source of a restore. Null when it is gone. */
  readonly desiredOf: (databaseId: string) => Promise<Desired | null>
  readonly postgres: PostgresTools
  readonly repositories: Repositories
  /** Where clusters keep their keys, as a user that may change them all. */
  readonly etcd: ScopeStore
  readonly mover: LeaderMover
}

/** Planned changes under the eyes of clients. A move is of a healthy leader, one at a time of one cluster; nothing acknowledged is lost, however it ends. */
export interface LeaderMover {
  move(order: { readonly instanceId: string; readonly leaderId: string; readonly candidateId: string | null }, signal: AbortSignal): Promise<LeaderMoved>
  /** Never rejects: readers that cannot be led elsewhere meet the end of their server, as they would in a failover. */
  drainReads(order: { readonly instanceId: string; readonly memberId: string }, signal: AbortSignal): Promise<void>
}

export type LeaderMoved =
  | { readonly kind: 'moved' | 'notNeeded' }
  | { readonly kind: 'refused' | 'failed'; readonly reason: string }

export function createExecutor(options: ExecutorOptions): Executor {
  return { apply: async (action, desired, signal) => (await perform(options, action, desired, signal)) ?? noRecords }
}

const noRecords: ActionResult = { records: [] }

async function perform(options: ExecutorOptions, action: Action, desired: Desired, signal: AbortSignal): Promise<ActionResult | void> {
  const { engines, installation, postgres, repositories } = options
  switch (action.kind) {
    case 'createNetwork':
      return engines(action.hostId).createNetwork({ name: action.name, subnet: action.subnet, labels: networkLabels(installation, action.projectId) }, signal)
    case 'removeNetwork':
      return engines(action.hostId).removeNetwork(action.name, signal)
    case 'createDataVolume':
      return createDataVolume(volumeTools(options, action.hostId), action, desired, signal)
    case 'growDataVolume':
      return growDataVolume(volumeTools(options, action.hostId), action, signal)
    case 'removeVolume':
      return removeVolume(volumeTools(options, action.hostId), action, signal)
    case 'createContainer':
      return createContainer(engines(action.blueprint.hostId), action.blueprint, signal)
    case 'startContainer':
      return startContainer(engines(action.hostId), action.containerId, installation, signal)
    case 'killContainer':
      return endAtOnce(engines(action.hostId), action.containerId, signal)
    case 'prepareScope':
      return prepareScope(options, action, desired, signal)
    case 'removeScope':
      return removeScope(options, action.instanceId, desired, signal)
    case 'configureCluster':
      return configureCluster(options, action.instanceId, action.patch, desired, signal)
    case 'switchover':
      return moveLeader(options.mover, action, signal)
    case 'restartPostgres':
      return restartPostgres(memberTools(options), action, desired, signal)
    case 'reinitialiseMember':
      return reinitialiseMember(memberTools(options), action, desired, signal)
    case 'stopContainer':
      return stopServer(options, action, desired, signal)
    case 'removeContainer':
      return removeContainer(engines(action.hostId), action.containerId, installation, signal)
    case 'installFiles':
      return installFiles(engines(action.blueprint.hostId), action.blueprint, action.containerId, signal)
    case 'startJob':
      return startJob(options, action.order, desired, signal)
    case 'prepareDatabase':
      return prepareDatabase(postgres, action.memberId, desired, signal)
    case 'setReadOnly':
      return setReadOnly(postgres, action.memberId, action.readOnly, desired, signal)
    case 'dropSlot':
      return dropSlot(postgres, action.memberId, action.slot, desired, signal)
    case 'surveySource':
      return surveySource(options, action, desired, signal)
    case 'makeSlot':
      return makeSlot(postgres, action.memberId, action.slot, desired, signal)
    case 'advanceSlot':
      return advanceSlot(postgres, action.memberId, action.slot, action.lsn, desired, signal)
    case 'cutOver':
      return cutOver(options, action, desired, signal)
    case 'startServer':
      return startServer({ engine: engines(action.hostId), name: action.containerId }, signal)
    case 'rewindServer':
      return rewound(options, action, desired, signal)
    case 'readBackBackup':
      return readBackBackup(repositories, action, desired, signal)
    case 'expireBackups':
      return expireBackups(repositories, agentOf(options, action.instanceId, desired), action, desired, signal)
    case 'purgeRepositories':
      return purgeRepositories(repositories, action, desired, signal)
  }
}

/** One that was wound back is consistent once it received what the leader's WAL was about to be then: an idle leader is made to write it. */
async function rewound({ engines, postgres }: ExecutorOptions, { hostId, containerId, leaderId }: Extract<Action, { readonly kind: 'rewindServer' }>, desired: Desired, signal: AbortSignal): Promise<ActionResult> {
  const result = await rewindServer({ engine: engines(hostId), name: containerId }, signal)
  await withPostgres(postgres, leaderId, desired, 'postgres', signal, (connection) => connection.execute('select pg_catalog.pg_log_standby_snapshot()', [], signal))
  return result
}

async function stopServer({ mover, postgres, engines }: ExecutorOptions, action: Extract<Action, { readonly kind: 'stopContainer' }>, desired: Desired, signal: AbortSignal): Promise<ActionResult> {
  if (action.drains !== undefined) await mover.drainReads(action.drains, signal)
  const held = action.returns === true ? await holdClients(postgres, desired, signal) : noRecords
  await stopContainer(engines(action.hostId), action.containerId, action.timeoutSeconds, signal)
  return held
}

async function moveLeader(mover: LeaderMover, { instanceId, leaderId, candidateId }: Extract<Action, { readonly kind: 'switchover' }>, signal: AbortSignal): Promise<void> {
  const moved = await mover.move({ instanceId, leaderId, candidateId }, signal)
  if (!('reason' in moved)) return
  throw new HoldfastError('Conflict', `The leader was not moved: ${moved.reason}`, { next: 'It is tried again as soon as the cluster allows it' })
}

/** A job that has been started under its name is the job, whatever became of it. */
async function startJob(options: ExecutorOptions, order: JobOrder, desired: Desired, signal: AbortSignal): Promise<ActionResult> {
  const { engines, blueprinter, repositoryOf, postgres, repositories, desiredOf } = options
  const isToMoment = order.job === 'restore' && order.source.targetTime !== null
  const records = isToMoment ? await reachMoment(postgres, repositories, await desiredOf(order.source.databaseId), order.source.instanceId, signal) : []
  const source = order.job === 'restore' ? await repositoryOf(order.source.instanceId, signal) : null
  const blueprint = blueprinter.jobBlueprint(desired, order, source)
  if (blueprint === null) {
    throw new HoldfastError('JobFailed', `The ${order.job} job ${order.jobId} cannot be made: its agent has no certificate yet`)
  }
  await createContainer(engines(blueprint.hostId), blueprint, signal)
  return { records }
}

function agentOf({ engines, installation }: ExecutorOptions, instanceId: string, desired: Desired): Agent {
  const member = desired.instances.find((instance) => instance.id === instanceId)?.members[0]
  if (member === undefined) throw new Error(`instance ${instanceId} has no member in database ${desired.database.id}`)
  return { engine: engines(member.hostId), container: resourceNames(installation).agent(instanceId) }
}

function memberTools(options: ExecutorOptions): MemberTools {
  const { etcd, installation, postgres } = options
  return { etcd, installation, postgres, volumes: (hostId) => volumeTools(options, hostId) }
}

function volumeTools({ engines, installation, storageLimit }: ExecutorOptions, hostId: string): VolumeTools {
  const engine = engines(hostId)
  return { engine, installation, disks: storageLimit === 'loop' ? disksOf(engine, installation) : null }
}

function networkLabels(installation: string, projectId: string): Readonly<Record<string, string>> {
  return { [label.installation]: installation, [label.kind]: 'network', [label.project]: projectId }
}
