/**
 * The engine of the simulated world, with what runs on it: PostgreSQL on data volumes, proxies, agents, jobs, and a bucket.
 * It behaves as the real ones were seen to behave where plans depend on it; it knows nothing of plans.
 */
import type { Action, JobOrder } from '../../src/domain/action.ts'
import type { Blueprint } from '../../src/domain/blueprint.ts'
import type { Desired } from '../../src/domain/desired.ts'
import { HoldfastError } from '../../src/domain/errors.ts'
import { label } from '../../src/domain/names.ts'
import type { ContainerState, JobProgress, JobResult } from '../../src/domain/observed.ts'
import { preparedVersion } from '../../src/domain/prepared.ts'
import { names, permissionPath } from './worldBlueprints.ts'
import { instanceOf, isClusterMember, WorldClusters } from './worldClusters.ts'

export interface Role {
  verifier: string
  canLogin: boolean
  sessions: number
}

/** What lies on a data volume. */
export interface Data {
  readonly instanceId: string
  readonly systemIdentifier: string
  databases: string[]
  roles: Record<string, Role>
  prepared: string | null
  slot: string | null
  isReadOnly: boolean
  isRecovering: boolean
  /** Stands for the customers' rows. */
  rows: string
}

export interface Volume {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  data: Data | null
  bytes: number
  /** Of a /conf: the hash of the files that lie there, and the instance that they allow to be initialised. */
  config: string
  permission: string
}

export interface Container {
  readonly id: string
  readonly name: string
  readonly blueprint: Blueprint
  state: ContainerState
  since: Date
  exitCode: number | null
  loadedConfig: string
  job: { readonly order: JobOrder; progress: JobProgress | null; result: JobResult | null } | null
}

export const bootMs = 400
export const jobMs = 2_000

export class WorldEngine {
  readonly containers = new Map<string, Container>()
  readonly volumes = new Map<string, Volume>()
  readonly networks = new Map<string, { readonly id: string; readonly projectId: string }>()
  /** Backup sets by instance and label. */
  readonly bucket = new Map<string, Map<string, Data>>()
  /** How often each thing was made, for "nothing is made twice". */
  readonly made = new Map<string, number>()
  readonly usedShare = new Map<string, number>()
  isAway = false
  isBucketAway = false
  /** Jobs of this kind end with this failure, as often as it says. */
  failJobs: { kind: JobOrder['job']; times: number } = { kind: 'backup', times: 0 }
  readonly clusters: WorldClusters
  readonly #now: () => Date
  #ids = 0

  constructor(now: () => Date) {
    this.#now = now
    this.clusters = new WorldClusters({
      now: () => now().getTime(), containers: this.containers, volumes: this.volumes,
      podOf: (member) => this.containers.get('container' in member.blueprint.network ? member.blueprint.network.container : ''),
      exit: (member, code) => this.#enter(member, 'exited', code), counted: (what) => this.#count(what), newId: (prefix) => this.#id(prefix),
    })
  }

  /** Lets what takes time come to its end. */
  turn(): void {
    for (const container of this.containers.values()) {
      if (container.job !== null && container.state === 'running' && this.#age(container) >= jobMs) this.#endJob(container, container.job.order)
    }
    this.clusters.turn()
    for (const container of this.containers.values()) this.#receive(container)
  }

  /** The data that answers on this container's ports; null while its server does not accept connections. */
  server(container: Container): Data | null {
    if (container.state !== 'running' || this.#age(container) < bootMs || (isClusterMember(container) && !this.clusters.answers(container))) return null
    return this.volumes.get(container.blueprint.mounts[0]?.volume ?? '')?.data ?? null
  }

  /** `half`: the caller dies between making a container and starting it. */
  apply(action: Action, desired: Desired, half = false): { created?: boolean; sized?: number; purged?: boolean; readBack?: boolean } {
    if (this.isAway) throw new HoldfastError('EngineUnreachable', 'the engine does not answer')
    switch (action.kind) {
      case 'createNetwork':
        if (!this.networks.has(action.name)) this.networks.set(action.name, { id: this.#id('net'), projectId: action.projectId })
        return {}
      case 'removeNetwork':
        if ([...this.containers.values()].some(({ blueprint }) => 'name' in blueprint.network && blueprint.network.name === action.name)) throw conflict('the network is in use')
        this.networks.delete(action.name)
        return {}
      case 'createDataVolume':
        this.#volume(action.name, { [label.database]: action.databaseId, [label.member]: action.memberId }).bytes ||= action.bytes
        return { sized: this.#volume(action.name, {}).bytes }
      case 'growDataVolume':
        this.#must(this.volumes.get(action.name), 'the disk').bytes = action.bytes
        return { sized: action.bytes }
      case 'createContainer':
        this.#create(action.blueprint, null, half)
        return {}
      case 'startJob':
        this.#create(this.#jobBlueprint(action.order, desired), action.order, half)
        return {}
      case 'startContainer':
        this.#start(this.#must(this.#byId(action.containerId), 'the container'))
        return {}
      case 'stopContainer':
        this.#stop(this.#byId(action.containerId))
        return {}
      case 'removeContainer':
        this.#remove(this.#byId(action.containerId))
        return {}
      case 'installFiles':
        this.#install(this.#must(this.#byId(action.containerId), 'the container'), action.blueprint)
        return {}
      case 'prepareDatabase':
        this.#prepare(action.memberId, desired)
        return {}
      case 'setReadOnly':
        this.#answering(action.memberId).isReadOnly = action.readOnly
        return {}
      case 'dropSlot':
        this.#answering(action.memberId).slot = null
        return {}
      case 'removeVolume':
        this.#removeVolume(action.name)
        return {}
      case 'prepareScope':
        this.clusters.prepare(action.instanceId)
        return {}
      case 'removeScope':
        this.clusters.remove(action.instanceId)
        return {}
      case 'configureCluster':
        this.clusters.configure(action.instanceId, action.patch)
        return {}
      case 'switchover':
        this.clusters.move(action.instanceId, action.leaderId, action.candidateId)
        return {}
      case 'restartPostgres':
        this.clusters.restartPostgres(action.instanceId, action.memberId)
        return {}
      case 'reinitialiseMember':
        this.#discard(action.instanceId, action.memberId, half)
        return {}
      case 'killContainer':
        this.#kill(this.#byId(action.containerId))
        return {}
      case 'surveySource':
      case 'makeSlot':
      case 'advanceSlot':
      case 'cutOver':
      case 'startServer':
      case 'rewindServer':
        throw new Error(`the world knows no ${action.kind}`)
      case 'readBackBackup':
        this.#requireBucket()
        return { readBack: this.bucket.get(action.instanceId)?.has(action.label) === true }
      case 'expireBackups':
        this.#requireBucket()
        return {}
      case 'purgeRepositories':
        this.#requireBucket()
        for (const instanceId of action.instanceIds) this.bucket.delete(instanceId)
        return { purged: true }
    }
  }

  /** Somebody runs `docker kill`, `stop`, `pause`, `rm -f`. */
  byHand(name: string, what: 'kill' | 'pause' | 'remove'): void {
    const container = this.#must(this.containers.get(name), name)
    if (what === 'remove') this.containers.delete(name)
    else this.#enter(container, what === 'pause' ? 'paused' : 'exited', what === 'kill' ? 137 : null)
    // a job that ended without a result has failed: that is how its output is read
    if (what === 'kill' && container.job !== null) container.job.result ??= { ok: false, code: 'JobFailed', message: 'it was killed' }
  }

  #create(blueprint: Blueprint, order: JobOrder | null, half: boolean): void {
    const { network } = blueprint
    if ('name' in network && !this.networks.has(network.name)) throw conflict(`the network ${network.name} is missing`)
    if ('container' in network && this.containers.get(network.container)?.state !== 'running') throw conflict(`the pod ${network.container} does not run`)
    for (const { volume, path } of blueprint.mounts) {
      if (path === '/data') this.#must(this.volumes.get(volume), 'the data volume')
      else this.#volume(volume, blueprint.labels)
    }
    const found = this.containers.get(blueprint.name)
    if (found !== undefined && found.state !== 'created') return
    const job = order === null ? null : { order, progress: null, result: null }
    const container: Container = { id: this.#id('c'), name: blueprint.name, blueprint, state: 'created', since: this.#now(), exitCode: null, loadedConfig: '', job }
    this.containers.set(blueprint.name, container)
    if (half) return
    this.#count(blueprint.name)
    if (order === null) this.#install(container, blueprint)
    this.#start(container)
  }

  #start(container: Container): void {
    const pod = 'container' in container.blueprint.network ? this.containers.get(container.blueprint.network.container) : undefined
    // made for a pod that is gone: it can never be started again
    if (isClusterMember(container) && pod !== undefined && this.#birth(pod) > this.#birth(container)) return void this.containers.delete(container.name)
    const ports = container.blueprint.ports.map((port) => port.hostPort)
    const holder = [...this.containers.values()].find((other) => other !== container && other.state === 'running' && other.blueprint.ports.some((port) => ports.includes(port.hostPort)))
    if (holder !== undefined) throw conflict(`port is already allocated to ${holder.name}`)
    this.#enter(container, 'running', null)
    container.loadedConfig = this.#confOf(container)?.config ?? ''
    if (isClusterMember(container)) this.clusters.started(container)
    else if (container.blueprint.labels[label.kind] === 'member') this.#boot(container)
  }

  /** The guard of the image: only what was told so is initialised. */
  #boot(container: Container): void {
    const [data, conf] = container.blueprint.mounts.map(({ volume }) => this.#must(this.volumes.get(volume), volume))
    const instanceId = container.blueprint.labels[label.instance] ?? ''
    if (data === undefined || conf === undefined) throw conflict('a member has two volumes')
    if (data.data === null && conf.permission === instanceId) {
      this.#count(`initdb ${instanceId}`)
      data.data = { instanceId, systemIdentifier: this.#id('7'), databases: ['postgres'], roles: {}, prepared: null, slot: null, isReadOnly: false, isRecovering: false, rows: '' }
    }
    if (data.data?.instanceId !== instanceId) this.#enter(container, 'exited', 78)
  }

  #install(container: Container, blueprint: Blueprint): void {
    container.loadedConfig = blueprint.configHash
    const permission = blueprint.files.find((file) => file.path === permissionPath)
    // a pod has no files of its own
    if (blueprint.mounts.length === 0) return
    Object.assign(this.#must(this.#confOf(container), 'the /conf'), { config: blueprint.configHash, permission: permission?.content ?? '' })
  }

  #confOf({ blueprint }: Container): Volume | undefined {
    return this.volumes.get(blueprint.mounts.find(({ path }) => path !== '/data')?.volume ?? '')
  }

  /** Containers are numbered as they are made. */
  #birth({ id }: Container): number {
    return Number(id.split('-').at(-1))
  }

  #kill(container: Container | undefined): void {
    if (container?.state === 'running' || container?.state === 'paused') this.#enter(container, 'exited', 137)
  }

  /** `half`: the caller dies when the container is gone and the volume is not. */
  #discard(instanceId: string, memberId: string, half: boolean): void {
    const leading = this.clusters.leading(instanceId)
    if (leading === null || leading.blueprint.labels[label.member] === memberId) throw conflict('there is no other leader')
    const container = this.containers.get(names.member(memberId))
    this.#kill(container)
    this.#remove(container)
    if (half) return
    this.#removeVolume(names.dataVolume(memberId))
    this.clusters.broken.delete(names.dataVolume(memberId))
  }

  #stop(container: Container | undefined): void {
    if (container?.state === 'running' || container?.state === 'paused' || container?.state === 'restarting') this.#enter(container, 'exited', 0)
  }

  #remove(container: Container | undefined): void {
    if (container === undefined) return
    if (container.blueprint.labels[label.kind] === 'member' && container.state === 'running') throw conflict('a running member is not removed')
    this.containers.delete(container.name)
  }

  #removeVolume(name: string): void {
    if ([...this.containers.values()].some(({ blueprint }) => blueprint.mounts.some((mount) => mount.volume === name))) throw conflict(`the volume ${name} is in use`)
    this.volumes.delete(name)
  }

  #prepare(memberId: string, { credentials, database }: Desired): void {
    const data = this.#answering(memberId)
    if (!data.databases.includes(database.databaseName)) data.databases.push(database.databaseName)
    for (const { roleName, verifier, endsAt, endedAt } of credentials) {
      const isOver = endedAt !== null || (endsAt !== null && endsAt <= this.#now())
      const before = data.roles[roleName]
      if (!isOver) data.roles[roleName] = { verifier: verifier.reveal(), canLogin: true, sessions: before?.sessions ?? 0 }
      else if (before !== undefined) Object.assign(before, { canLogin: false, sessions: 0 })
    }
    data.prepared = preparedVersion
  }

  /** The agent makes its slot and keeps it moving. */
  #receive({ state, blueprint }: Container): void {
    if (state !== 'running' || blueprint.labels[label.kind] !== 'agent') return
    const served = this.#primary(blueprint.labels[label.instance] ?? '')
    const data = served === undefined ? null : this.server(served)
    if (data?.slot === null) data.slot = 'reserved'
  }

  /** The member of an instance that takes writes. */
  #primary(instanceId: string): Container | undefined {
    const members = [...this.containers.values()].filter((one) => one.blueprint.labels[label.kind] === 'member' && instanceOf(one) === instanceId)
    return members.some(isClusterMember) ? this.clusters.leading(instanceId) ?? undefined : members[0]
  }

  #jobBlueprint(order: JobOrder, desired: Desired): Blueprint {
    const instance = this.#must(desired.instances.find((one) => one.id === order.instanceId), 'the instance')
    const member = this.#must(instance.members[0], 'the member')
    const mounts = order.job === 'restore' ? [{ volume: names.dataVolume(member.id), path: '/data' }] : [{ volume: names.agentConfVolume(instance.id), path: '/conf' }]
    const labels = { [label.kind]: 'job', [label.database]: desired.database.id, [label.instance]: instance.id, [label.job]: order.jobId }
    return {
      name: names.job(order.jobId), hostId: member.hostId, image: '', command: [], labels, mounts, network: { name: names.network(desired.project.id), aliases: [] },
      ports: [], extraHosts: [], limits: { memoryBytes: 0, cpus: 0, pids: 0, shmBytes: 0 }, restart: 'no', files: [], specHash: '', configHash: '',
    }
  }

  #endJob(container: Container, order: JobOrder): void {
    const { failJobs } = this
    const mustFail = failJobs.kind === order.job && failJobs.times > 0
    if (mustFail) failJobs.times -= 1
    const result = mustFail ? { ok: false, code: 'Unlucky', message: 'it was told to fail' } as const : this.#work(container, order)
    if (container.job !== null) container.job.result = result
    this.#enter(container, 'exited', result.ok ? 0 : 1)
  }

  #work(container: Container, order: JobOrder): JobResult {
    if (this.isBucketAway) return { ok: false, code: 'StoreUnreachable', message: 'the object store does not answer' }
    const sets = this.bucket.get(order.job === 'restore' ? order.source.instanceId : order.instanceId) ?? new Map<string, Data>()
    switch (order.job) {
      case 'backup': {
        const member = this.#primary(order.instanceId)
        const data = member === undefined ? null : this.server(member)
        if (data === null) return { ok: false, code: 'NoServer', message: 'PostgreSQL does not answer' }
        if (data.slot !== 'reserved') return { ok: false, code: 'ArchiveTimeout', message: 'WAL does not reach the archive' }
        const name = `set-${sets.size + 1}`
        this.bucket.set(order.instanceId, sets.set(name, structuredClone(data)))
        return { ok: true, facts: { label: name, databaseBytes: 1, repositoryBytes: 1 } }
      }
      case 'verify':
        return sets.has(order.label) ? { ok: true, facts: {} } : { ok: false, code: 'SetMissing', message: 'the set is not there' }
      case 'restore': {
        const set = sets.get(order.source.label)
        const volume = this.#must(this.volumes.get(container.blueprint.mounts[0]?.volume ?? ''), 'the volume')
        if (set === undefined) return { ok: false, code: 'SetMissing', message: 'the set is not there' }
        volume.data = { ...structuredClone(set), instanceId: order.instanceId, slot: null }
        return { ok: true, facts: { systemIdentifier: set.systemIdentifier } }
      }
    }
  }

  #answering(memberId: string): Data {
    const container = this.containers.get(names.member(memberId))
    const data = container === undefined ? null : this.server(container)
    if (data === null) throw new HoldfastError('MemberUnreachable', 'PostgreSQL does not answer')
    return data
  }

  #requireBucket(): void {
    if (this.isBucketAway) throw new HoldfastError('ObjectStoreUnavailable', 'the object store does not answer')
  }

  #volume(name: string, labels: Readonly<Record<string, string>>): Volume {
    const volume = this.volumes.get(name) ?? { name, labels, data: null, bytes: 0, config: '', permission: '' }
    this.volumes.set(name, volume)
    return volume
  }

  #enter(container: Container, state: ContainerState, exitCode: number | null): void {
    Object.assign(container, { state, exitCode, since: this.#now() })
  }

  #byId(id: string): Container | undefined {
    return [...this.containers.values()].find((container) => container.id === id)
  }

  #age({ since }: Container): number {
    return this.#now().getTime() - since.getTime()
  }

  #count(what: string): void {
    this.made.set(what, (this.made.get(what) ?? 0) + 1)
  }

  #id(prefix: string): string {
    return `${prefix}-${(this.#ids += 1)}`
  }

  #must<T>(thing: T | undefined, what: string): T {
    if (thing === undefined) throw conflict(`${what} is not there`)
    return thing
  }
}

function conflict(message: string): HoldfastError {
  return new HoldfastError('ResourceConflict', message)
}
