/**
 * Clusters of the simulated world: what etcd holds of each and what the Patronis of its members make of it. As far as plans
 * depend on it they behave as the real ones were seen to: a lease that ends, a sync set of which alone somebody may come to
 * lead, copies that take time. Nothing here knows of plans.
 */
import { HoldfastError } from '../../src/domain/errors.ts'
import { label, patroniName } from '../../src/domain/names.ts'
import { parseLsn } from '../../src/domain/lsn.ts'
import type { ClusterSeen, PatroniReport, WalSenderSeen } from '../../src/domain/observed.ts'
import { merged, treeOf } from '../../src/executor/mergePatch.ts'
import { adoptPermission } from './worldBlueprints.ts'
import type { Container, Data, Volume } from './worldEngine.ts'

export const leaseMs = 20_000
const bootMs = 400
const copyMs = 900
const followMs = 600

type Tree = Readonly<Record<string, unknown>>

interface Scope {
  prepared: boolean
  systemIdentifier: string | null
  leader: string | null
  renewedAt: number
  timeline: number
  standbys: string[]
  config: Tree | null
  /** Members whose PostgreSQL has yet to be restarted for a setting. */
  readonly pending: Set<string>
}

/** One run of a member's container. */
interface Run {
  readonly since: number
  /** The run of its pod in whose network it lives. */
  readonly podRun: string
  copyingSince: number | null
  followsSince: number | null
}

/** What the engine tells of its containers and volumes. */
export interface ClusterGround {
  readonly now: () => number
  readonly containers: ReadonlyMap<string, Container>
  readonly volumes: ReadonlyMap<string, Volume>
  readonly podOf: (member: Container) => Container | undefined
  readonly exit: (member: Container, code: number) => void
  readonly counted: (what: string) => void
  readonly newId: (prefix: string) => string
}

export class WorldClusters {
  readonly scopes = new Map<string, Scope>()
  isEtcdAway = false
  /** Data volumes that PostgreSQL does not start on. */
  readonly broken = new Map<string, 'start failed' | 'starting'>()
  readonly #ground: ClusterGround
  readonly #runs = new Map<string, Run>()

  constructor(ground: ClusterGround) {
    this.#ground = ground
  }

  /** Lets every Patroni look once. */
  turn(): void {
    const instances = new Set(this.#members().map(instanceOf))
    for (const instanceId of new Set([...instances, ...this.scopes.keys()])) this.#look(instanceId)
  }

  started(member: Container): void {
    const pod = this.#ground.podOf(member)
    if (pod?.state !== 'running') throw new HoldfastError('Conflict', 'cannot join network of a non running container')
    this.#runs.set(member.id, { since: this.#ground.now(), podRun: runOf(pod), copyingSince: null, followsSince: null })
  }

  /** The leader's container, if it runs and is reached. */
  leading(instanceId: string): Container | null {
    const name = this.scopes.get(instanceId)?.leader ?? null
    const member = this.#membersOf(instanceId).find((one) => nameOf(one) === name)
    return member !== undefined && this.#isUp(member) && this.#data(member) !== null ? member : null
  }

  isSynchronous(instanceId: string, memberId: string): boolean {
    return this.scopes.get(instanceId)?.standbys.includes(patroniName(memberId)) === true
  }

  /** Whether PostgreSQL answers on this member's port. */
  answers(member: Container): boolean {
    const isFilling = this.#runs.get(member.id)?.copyingSince !== null
    return this.#isUp(member) && this.#data(member) !== null && !isFilling && !this.broken.has(dataVolumeOf(member))
  }

  isReached(member: Container): boolean {
    return this.#isUp(member)
  }

  report(member: Container): PatroniReport {
    const scope = this.scopes.get(instanceOf(member))
    const leads = scope?.leader === nameOf(member)
    const run = this.#runs.get(member.id)
    const state = this.broken.get(dataVolumeOf(member)) ?? (run?.copyingSince !== null ? 'creating replica' : this.#data(member) === null ? 'stopped' : 'running')
    const replicationState = state === 'running' && !leads && run?.followsSince !== null ? 'streaming' : null
    return { state, role: leads ? 'leader' : 'replica', timeline: scope?.timeline ?? null, pendingRestart: scope?.pending.has(nameOf(member)) === true, replicationState }
  }

  seen(instanceId: string): ClusterSeen {
    const scope = this.scopes.get(instanceId)
    if (scope === undefined) return { systemIdentifier: null, leader: null, sync: null, members: [], config: null, prepared: false, isEmpty: true }
    const { systemIdentifier, leader, standbys, config, prepared } = scope
    const members = this.#membersOf(instanceId).filter((member) => this.#isUp(member)).map(nameOf).sort()
    return { systemIdentifier, leader, sync: leader === null && standbys.length === 0 ? null : { leader: leader ?? '', standbys: [...standbys].sort() }, members, config, prepared, isEmpty: false }
  }

  walSenders(instanceId: string): WalSenderSeen[] {
    const scope = this.scopes.get(instanceId)
    return this.#membersOf(instanceId).filter((member) => this.#follows(member)).map((member) => ({
      applicationName: nameOf(member), state: 'streaming', syncState: scope?.standbys.includes(nameOf(member)) === true ? 'sync' : 'async',
      flushLsn: parseLsn('0/4000000'), replayLsn: parseLsn('0/4000000'), copiedBytes: null,
    }))
  }

  timeline(instanceId: string): number {
    return this.scopes.get(instanceId)?.timeline ?? 1
  }

  prepare(instanceId: string): void {
    this.#requireEtcd()
    const scope = this.scopes.get(instanceId)
    if (scope !== undefined) scope.prepared = true
    else this.scopes.set(instanceId, { prepared: true, systemIdentifier: null, leader: null, renewedAt: 0, timeline: 0, standbys: [], config: null, pending: new Set() })
  }

  remove(instanceId: string): void {
    this.#requireEtcd()
    if (this.#membersOf(instanceId).length > 0) throw new HoldfastError('Conflict', 'a member is left that would write its keys again')
    this.scopes.delete(instanceId)
  }

  configure(instanceId: string, patch: Tree): void {
    this.#requireEtcd()
    const scope = this.#scope(instanceId)
    const before = scope.config ?? {}
    scope.config = merged(before, patch)
    // as PostgreSQL does it: what gets smaller takes a restart of the leader, then of the replicas
    if (Number(scope.config['size'] ?? 0) < Number(before['size'] ?? 0)) for (const member of this.#membersOf(instanceId)) scope.pending.add(nameOf(member))
  }

  /** Once it is done the old leader's container has ended, as it does when it is moved the fast way. */
  move(instanceId: string, leaderId: string, candidateId: string | null): void {
    this.#requireEtcd()
    const scope = this.#scope(instanceId)
    const candidate = candidateId === null ? scope.standbys[0] : patroniName(candidateId)
    const old = this.leading(instanceId)
    if (old === null || scope.leader !== patroniName(leaderId) || candidate === undefined || !scope.standbys.includes(candidate)) throw new HoldfastError('Conflict', 'the leader was not moved')
    this.#promote(scope, candidate)
    this.#ground.exit(old, 137)
  }

  restartPostgres(instanceId: string, memberId: string): void {
    const scope = this.#scope(instanceId)
    const name = patroniName(memberId)
    // a replica cannot go below its leader
    if (scope.leader === name || !scope.pending.has(scope.leader ?? '')) scope.pending.delete(name)
    const run = [...this.#members()].find((member) => nameOf(member) === name)
    if (run !== undefined && scope.leader !== name) this.#unfollow(run)
  }

  #look(instanceId: string): void {
    const scope = this.scopes.get(instanceId)
    if (scope === undefined || this.isEtcdAway) return
    const members = this.#membersOf(instanceId)
    const leading = this.leading(instanceId)
    if (leading !== null && !this.broken.has(dataVolumeOf(leading))) scope.renewedAt = this.#ground.now()
    else if (scope.leader !== null && this.#ground.now() - scope.renewedAt >= leaseMs) scope.leader = null
    if (scope.leader === null) this.#elect(instanceId, scope, members)
    for (const member of members) this.#follow(instanceId, scope, member)
    scope.standbys = scope.standbys.filter((name) => scope.leader === null || this.leading(instanceId) === null || members.some((member) => nameOf(member) === name && this.#follows(member)))
  }

  #elect(instanceId: string, scope: Scope, members: readonly Container[]): void {
    const up = members.filter((member) => this.#isUp(member) && !this.broken.has(dataVolumeOf(member)))
    if (scope.systemIdentifier === null) return this.#bootstrap(instanceId, scope, up)
    const first = up.find((member) => scope.standbys.includes(nameOf(member)) && this.#data(member)?.systemIdentifier === scope.systemIdentifier)
    if (first !== undefined) this.#promote(scope, nameOf(first))
  }

  /** Only who was told so makes a new database; who has one already, of a scope that is lost, keeps to himself. */
  #bootstrap(instanceId: string, scope: Scope, up: readonly Container[]): void {
    const adopting = up.find((member) => this.#data(member)?.instanceId === instanceId && this.#permission(member) === adoptPermission(instanceId))
    if (adopting !== undefined) return this.#adopt(scope, adopting)
    const first = up.find((member) => this.#data(member) === null && this.#permission(member) === instanceId)
    const volume = first === undefined ? undefined : this.#ground.volumes.get(dataVolumeOf(first))
    if (first === undefined || volume === undefined) return
    this.#ground.counted(`initdb ${instanceId}`)
    scope.systemIdentifier = this.#ground.newId('7')
    scope.config = treeOf(first.blueprint.files.find(({ path }) => path === '/conf/bootstrap')?.content ?? '{}')
    volume.data = { instanceId, systemIdentifier: scope.systemIdentifier, databases: ['postgres'], roles: {}, prepared: null, slot: null, isReadOnly: false, isRecovering: false, rows: '' }
    this.#promote(scope, nameOf(first))
  }

  #adopt(scope: Scope, member: Container): void {
    scope.systemIdentifier = this.#data(member)?.systemIdentifier ?? null
    scope.config = treeOf(member.blueprint.files.find(({ path }) => path === '/conf/bootstrap')?.content ?? '{}')
    this.#promote(scope, nameOf(member))
  }

  /** The sync set of before no longer counts: it is empty until somebody follows the new leader. */
  #promote(scope: Scope, name: string): void {
    Object.assign(scope, { leader: name, renewedAt: this.#ground.now(), timeline: scope.timeline + 1, standbys: [name] })
    for (const member of this.#members()) if (nameOf(member) !== name) this.#unfollow(member)
  }

  #follow(instanceId: string, scope: Scope, member: Container): void {
    const run = this.#runs.get(member.id)
    const leader = this.leading(instanceId)
    const source = leader === null ? null : this.#data(leader)
    const volume = this.#ground.volumes.get(dataVolumeOf(member))
    if (run === undefined || !this.#isUp(member) || scope.leader === nameOf(member) || volume === undefined || this.broken.has(volume.name)) return this.#unfollow(member)
    if (source === null) return this.#unfollow(member)
    if (volume.data !== null && run.copyingSince === null) {
      if (volume.data.systemIdentifier !== scope.systemIdentifier) return this.#ground.exit(member, 1)
      run.followsSince ??= this.#ground.now()
      return this.#replicate(scope, member, run, volume, source)
    }
    run.copyingSince ??= this.#ground.now()
    if (this.#ground.now() - run.copyingSince < copyMs) return
    volume.data = structuredClone(source)
    run.copyingSince = null
    this.#ground.counted(`copy ${volume.name}`)
  }

  #replicate(scope: Scope, member: Container, run: Run, volume: Volume, source: Data): void {
    volume.data = structuredClone(source)
    const isReady = run.followsSince !== null && this.#ground.now() - run.followsSince >= followMs
    if (isReady && !scope.standbys.includes(nameOf(member))) scope.standbys = [...scope.standbys.filter((name) => name !== scope.leader), nameOf(member)]
  }

  #unfollow(member: Container): void {
    const run = this.#runs.get(member.id)
    if (run !== undefined) run.followsSince = null
  }

  #follows(member: Container): boolean {
    return this.#isUp(member) && (this.#runs.get(member.id)?.followsSince ?? null) !== null
  }

  /** It runs, has booted, and is in the network that it was started in. */
  #isUp(member: Container): boolean {
    const run = this.#runs.get(member.id)
    const pod = this.#ground.podOf(member)
    return member.state === 'running' && run !== undefined && pod?.state === 'running' && runOf(pod) === run.podRun && this.#ground.now() - run.since >= bootMs
  }

  #data(member: Container): Data | null {
    return this.#ground.volumes.get(dataVolumeOf(member))?.data ?? null
  }

  #permission(member: Container): string {
    return this.#ground.volumes.get(member.blueprint.mounts[1]?.volume ?? '')?.permission ?? ''
  }

  #members(): Container[] {
    return [...this.#ground.containers.values()].filter(isClusterMember)
  }

  #membersOf(instanceId: string): Container[] {
    return this.#members().filter((member) => instanceOf(member) === instanceId)
  }

  #scope(instanceId: string): Scope {
    const scope = this.scopes.get(instanceId)
    if (scope === undefined) throw new HoldfastError('Conflict', 'etcd knows nothing of the cluster')
    return scope
  }

  #requireEtcd(): void {
    if (this.isEtcdAway) throw new HoldfastError('EtcdUnavailable', 'etcd does not answer')
  }
}

export function isClusterMember({ blueprint }: Container): boolean {
  return blueprint.labels[label.kind] === 'member' && 'container' in blueprint.network
}

export function instanceOf({ blueprint }: Container): string {
  return blueprint.labels[label.instance] ?? ''
}

function nameOf({ blueprint }: Container): string {
  return patroniName(blueprint.labels[label.member] ?? '')
}

function dataVolumeOf({ blueprint }: Container): string {
  return blueprint.mounts[0]?.volume ?? ''
}

function runOf({ id, since }: Container): string {
  return `${id} ${since.getTime()}`
}
