/**
 * A simulated world for tests that need no engine: real passes over our own ports, with a control database, an engine and a
 * store that are plain values. Every effect of a pass is a numbered step, at which a test may let the controller die.
 */
import assert from 'node:assert/strict'
import { z } from 'zod'
import { isDisruptive, type Action, type EventNote, type StoreRecord } from '../../src/domain/action.ts'
import { runPass, type PassContext, type PassResult } from '../../src/controller/pass.ts'
import type { ConditionType } from '../../src/domain/conditions.ts'
import type { Desired, Operation } from '../../src/domain/desired.ts'
import { label } from '../../src/domain/names.ts'
import { parseLsn } from '../../src/domain/lsn.ts'
import type { EngineSeen, JobSeen, Observed, PatroniSeen, PostgresSeen, ProxySeen } from '../../src/domain/observed.ts'
import { takeOverInputSchema } from '../../src/operations/takeOverEndpoint.ts'
import type { PlanInput } from '../../src/domain/part.ts'
import { proxiesInUse, proxyKey } from '../../src/domain/reading.ts'
import { walRoleName, walSlotName } from '../../src/domain/prepared.ts'
import { known, unknown, type Sighting } from '../../src/domain/sighting.ts'
import { tiers } from '../../src/domain/tiers.ts'
import type { IssuedCertificate, Lease } from '../../src/store/store.ts'
import { blueprinter, installation, names } from './worldBlueprints.ts'
import { instanceOf, isClusterMember } from './worldClusters.ts'
import { WorldEngine, type Container } from './worldEngine.ts'
import { frozen } from './frozen.ts'
import { cluster, idOf, keyPair, operationOf, recorded, starter, theHost, withDatabase } from './worldStore.ts'

/** What happens to one step of a pass. `die*`: the controller is killed there; `fail`, `loseReply`: the call throws. */
export type Fault = 'none' | 'dieBefore' | 'dieHalfway' | 'dieAfter' | 'twice' | 'fail' | 'loseReply'

/** The controller died, or a call that a pass stands on failed: the pass ended there. */
class CutShort extends Error {}

export interface World {
  now: Date
  readonly engine: WorldEngine
  readonly databases: Map<string, Desired>
  readonly events: EventNote[]
  /** How each operation ended. */
  readonly ended: { readonly id: string; readonly outcome: string; readonly code: string | null }[]
  /** Every action applied, in order. */
  readonly applied: Action[]
  authorityId: string
  certificateLifetimeMs: number
  schedule: (typeof tiers)['starter']['backups']
  steps: number
  faultAt: (step: number, what: string) => Fault
  forgotten: number
  readonly context: PassContext
  add(number: number, name: string): string
  /** A highly available one. */
  addCluster(number: number, name: string): string
  get(databaseId: string): Desired
  change(databaseId: string, change: (desired: Desired) => Desired): void
  startOperation(databaseId: string, kind: Operation['kind'], input: unknown): void
  look(databaseId: string): PlanInput
  /** `cutShort` when the controller died in it or could not write, null when the database is gone. */
  pass(databaseId: string): Promise<PassResult | 'cutShort' | null>
  /** Passes over all databases until each is settled; gives the number of rounds. Fails after `limit`. */
  settle(limit?: number): Promise<number>
  passes(count: number): Promise<void>
}

const notesSchema = z.record(z.string(), z.unknown())
const start = new Date('2026-11-18T12:00:00Z')
const day = 86_400_000

export function createWorld(): World {
  return new SimulatedWorld()
}

/** One starter database, as settled as it gets; its first backup is in. */
export async function settledShop(): Promise<{ readonly world: World; readonly shop: string; readonly parts: ShopParts }> {
  const world = createWorld()
  const shop = world.add(1, 'shop')
  await world.settle()
  return { world, shop, parts: partsOf(world.get(shop)) }
}

export interface ShopParts {
  readonly instanceId: string
  readonly memberId: string
  readonly member: string
  readonly dataVolume: string
  readonly agent: string
  readonly proxy: string
}

/** Names of everything that the first instance and the endpoint of a database consist of. */
export function partsOf({ instances: [instance], endpoint }: Desired): ShopParts {
  const member = instance?.members[0]
  assert.ok(instance && member && endpoint)
  return {
    instanceId: instance.id, memberId: member.id, member: names.member(member.id), dataVolume: names.dataVolume(member.id),
    agent: names.agent(instance.id), proxy: names.endpoint(endpoint.id, 0),
  }
}

/** Status and reason of one condition. */
export function conditionOf(world: World, databaseId: string, type: ConditionType): string {
  const found = world.get(databaseId).database.conditions.find((condition) => condition.type === type)
  return `${found?.status} ${found?.reason}`
}

export function messageOf(world: World, databaseId: string, type: ConditionType): string {
  return world.get(databaseId).database.conditions.find((condition) => condition.type === type)?.message ?? ''
}

class SimulatedWorld implements World {
  now = start
  readonly databases = new Map<string, Desired>()
  readonly engine = new WorldEngine(() => this.now)
  readonly events: EventNote[] = []
  readonly ended: World['ended'][number][] = []
  readonly applied: Action[] = []
  authorityId = 'ca-1'
  certificateLifetimeMs = 90 * day
  schedule = tiers.starter.backups
  steps = 0
  faultAt: World['faultAt'] = () => 'none'
  forgotten = 0
  #isDead = false
  readonly #wrongs: string[] = []
  #ids = 900_000
  readonly #attempts = new Map<string, number>()
  readonly #doing = new Map<string, { readonly doing: string; readonly since: Date }>()

  readonly context: PassContext = {
    installation,
    store: {
      desired: { load: async (databaseId) => this.#desired(databaseId) },
      records: { apply: async (lease, records, issued = []) => this.#step('records', () => this.#write(lease.databaseId, records, issued)) },
      operations: {
        enter: async (lease, id, phase, { notes }) => this.#step('operation', () => this.#operate(lease.databaseId, id, (one) => ({
          ...one, phase, notes: { ...notesSchema.parse(one.notes), ...notes }, phaseEnteredAt: this.now, progressedAt: this.now,
        }))),
        progress: async (lease, id, { progress }) => this.#step('operation', () => this.#operate(lease.databaseId, id, (one) => ({
          ...one, progress: progress ?? one.progress, progressedAt: progress === undefined || JSON.stringify(progress) === JSON.stringify(one.progress) ? one.progressedAt : this.now,
        }))),
        finish: async (lease, id, outcome, { failure }) => this.#step('operation', () => {
          if (this.get(lease.databaseId).operation?.id !== id) return
          this.change(lease.databaseId, (desired) => ({ ...desired, operation: null }))
          this.ended.push({ id, outcome, code: failure?.code ?? null })
        }),
      },
    },
    observer: {
      observe: async (desired) => frozen(this.#observe(desired)),
      forget: () => void (this.forgotten += 1),
    },
    executor: { apply: async (action, desired) => ({ records: this.#step(action.kind, (half) => this.#apply(action, desired, half)) }) },
    blueprinter,
    issuer: { issue: async ({ commonName, names: spoken }) => keyPair(commonName, spoken, this.authorityId, this.now, this.certificateLifetimeMs) },
    scheduleOf: () => this.schedule,
    onAction: () => undefined,
  }

  add(number: number, name: string): string {
    return this.#put(starter({ number, name, now: this.now }))
  }

  addCluster(number: number, name: string): string {
    return this.#put(cluster({ number, name, now: this.now }))
  }

  #put(made: Desired): string {
    const desired = { ...made, activeAuthorityId: this.authorityId }
    this.databases.set(desired.database.id, desired)
    return desired.database.id
  }

  get(databaseId: string): Desired {
    const desired = this.databases.get(databaseId)
    assert.ok(desired, `database ${databaseId} is not there`)
    return desired
  }

  change(databaseId: string, change: (desired: Desired) => Desired): void {
    this.databases.set(databaseId, change(this.get(databaseId)))
  }

  startOperation(databaseId: string, kind: Operation['kind'], input: unknown): void {
    this.change(databaseId, (desired) => ({ ...desired, operation: operationOf((this.#ids += 1), kind, input, this.now) }))
  }

  look(databaseId: string): PlanInput {
    const desired = this.#desired(databaseId)
    assert.ok(desired)
    return { desired, observed: frozen(this.#observe(desired)), blueprints: blueprinter.blueprints(desired), names, schedule: this.schedule, now: this.now }
  }

  async pass(databaseId: string): Promise<PassResult | 'cutShort' | null> {
    this.#isDead = false
    const attempts = (this.#attempts.get(databaseId) ?? 0) + 1
    this.#attempts.set(databaseId, attempts)
    const before = this.applied.length
    const lease: Lease = { databaseId, epoch: 1, holder: 'test', until: new Date(this.now.getTime() + 60_000), wakeSeq: 1, attempts, now: this.now }
    try {
      const result = await runPass(this.context, lease, AbortSignal.timeout(60_000))
      if (this.#isDead) return 'cutShort'
      if (result?.failure === null) this.#attempts.set(databaseId, 0)
      if (result !== null && this.databases.has(databaseId)) {
        const observedGeneration = result.settledGeneration ?? this.get(databaseId).database.observedGeneration
        this.change(databaseId, (desired) => withDatabase(desired, { conditions: result.conditions, observedGeneration }))
      }
      return result
    } catch (error) {
      if (error instanceof CutShort) return 'cutShort'
      throw error
    } finally {
      this.#assertLawful(databaseId, this.applied.slice(before))
    }
  }

  /** What holds for every pass, whatever happens. */
  #assertLawful(databaseId: string, actions: readonly Action[]): void {
    const disruptive = actions.filter(isDisruptive).map((action) => JSON.stringify(action))
    // thrown here, because a pass takes what an action throws for an action that failed
    assert.deepEqual(this.#wrongs, [])
    // a step that is told to happen twice is one action all the same
    assert.ok(new Set(disruptive).size <= 1, `more than one disruptive action in a pass: ${disruptive.join()}`)
    if (this.databases.get(databaseId)?.database.paused === true) assert.deepEqual(actions, [], 'a paused database was acted on')
    if (this.engine.isAway) assert.deepEqual(actions.filter(({ kind }) => kind !== 'purgeRepositories'), [], 'something was done to an engine that cannot be seen')
  }

  async settle(limit = 150): Promise<number> {
    for (let round = 1; round <= limit; round += 1) {
      const results = await this.#round()
      if (results.every((result) => result === null || (result !== 'cutShort' && result.settledGeneration !== null))) return round
    }
    const why = [...this.databases.values()].map(({ database, operation }) => `${database.name} ${operation?.phase ?? ''}: ${JSON.stringify(database.conditions.filter((one) => one.type === 'Progressing'))}`)
    return assert.fail(`not settled after ${limit} rounds: ${why.join('; ')}`)
  }

  async passes(count: number): Promise<void> {
    for (let round = 0; round < count; round += 1) await this.#round()
  }

  async #round(): Promise<(PassResult | 'cutShort' | null)[]> {
    const results: (PassResult | 'cutShort' | null)[] = []
    let delay = 60_000
    for (const id of [...this.databases.keys()]) {
      const result = await this.pass(id)
      results.push(result)
      if (result === 'cutShort') delay = Math.min(delay, 500)
      else if (result !== null) delay = Math.min(delay, result.failure === null ? result.requeueAfterMs ?? 60_000 : 500)
    }
    this.now = new Date(this.now.getTime() + Math.max(delay, 1))
    return results
  }

  #desired(databaseId: string): Desired | null {
    const desired = this.databases.get(databaseId)
    if (desired === undefined) return null
    const { operation } = desired
    const from = operation?.kind === 'takeOverEndpoint' ? takeOverInputSchema.parse(operation.input).fromDatabaseId : undefined
    const peer = from === undefined ? null : this.databases.get(from)?.endpoint ?? null
    const others = [...this.databases.values()].filter(({ database }) => database.id !== databaseId && database.removedAt === null)
    return frozen({
      ...desired, activeAuthorityId: this.authorityId, lastOfProject: others.length === 0,
      peerEndpoint: from === undefined || peer === null ? null : { databaseId: from, endpoint: peer },
    })
  }

  #step<T>(what: string, effect: (half: boolean) => T): T {
    if (this.#isDead) throw new CutShort('the controller is dead')
    const fault = this.faultAt(this.steps, what)
    this.steps += 1
    if (fault === 'dieBefore' || fault === 'fail') return this.#throw(fault)
    const value = effect(fault === 'dieHalfway')
    if (fault === 'twice') return effect(false)
    return fault === 'none' ? value : this.#throw(fault)
  }

  #throw(fault: Fault): never {
    if (fault === 'fail' || fault === 'loseReply') throw new CutShort('the call failed')
    this.#isDead = true
    throw new CutShort('the controller is dead')
  }

  #write(databaseId: string, records: readonly StoreRecord[], issued: readonly IssuedCertificate[]): void {
    // its rows went with the last finalizer, and with them the lease
    if (!this.databases.has(databaseId)) return
    for (const record of records) {
      if (record.kind === 'event') this.events.push(record.note)
      if (record.kind === 'swapEndpoints') this.#swap(databaseId, record.withDatabaseId)
      else this.change(databaseId, (desired) => recorded(desired, record, { now: this.now, nextId: () => idOf((this.#ids += 1)), issued }))
    }
    if (this.get(databaseId).database.finalizers.length === 0) this.databases.delete(databaseId)
  }

  /** Certificates of an endpoint go with it. */
  #swap(one: string, other: string): void {
    const [a, b] = [this.get(one), this.get(other)]
    const all = [...a.certificates, ...b.certificates]
    const give = (desired: Desired, endpoint: Desired['endpoint'], old: Desired['endpoint']): Desired => ({
      ...withDatabase(desired, { generation: desired.database.generation + 1 }),
      endpoint,
      certificates: new Map([
        ...[...desired.certificates].filter(([key]) => !key.endsWith(old?.id ?? '-')),
        ...all.filter(([key]) => key.endsWith(endpoint?.id ?? '-')),
      ]),
    })
    this.databases.set(one, give(a, b.endpoint, a.endpoint))
    this.databases.set(other, give(b, a.endpoint, b.endpoint))
  }

  #operate(databaseId: string, id: string, change: (operation: Operation) => Operation): void {
    this.change(databaseId, (desired) => (desired.operation?.id === id ? { ...desired, operation: change(desired.operation) } : desired))
  }

  #apply(action: Action, desired: Desired, half: boolean): StoreRecord[] {
    this.engine.turn()
    if (action.kind === 'createDataVolume') {
      const instance = this.databases.get(action.databaseId)?.instances.find(({ id }) => id === action.instanceId)
      const mayBeCopied = instance?.kind === 'cluster' && this.engine.clusters.leading(instance.id) !== null
      if (instance?.initialisedAt !== null && !mayBeCopied) this.#wrongs.push('an initialised instance was given an empty volume, with nobody to fill it')
    }
    const wrong = this.#whatIsWrong(action, desired)
    if (wrong !== null) this.#wrongs.push(wrong)
    this.applied.push(action)
    const { sized, purged, readBack } = this.engine.apply(action, desired, half)
    if ((action.kind === 'createDataVolume' || action.kind === 'growDataVolume') && sized !== undefined) return [{ kind: 'volumeSized', memberId: action.memberId, bytes: sized }]
    if (action.kind === 'reinitialiseMember') return [{ kind: 'volumeSized', memberId: action.memberId, bytes: null }]
    if (action.kind === 'removeVolume' && action.memberId !== null) return [{ kind: 'volumeSized', memberId: action.memberId, bytes: null }]
    if (purged === true) return [{ kind: 'finalizerDone', finalizer: 'backups' }]
    if (action.kind !== 'readBackBackup') return []
    return readBack === true
      ? [{ kind: 'backupState', backupId: action.backupId, state: 'verified', facts: { repositoryBytes: 1, objectCount: 1 } }]
      : [{ kind: 'backupState', backupId: action.backupId, state: 'failed', facts: { failure: { code: 'ReadBackFailed', message: 'it is not there' } } }]
  }

  /** A member of a cluster that runs is stopped, or moved away from, only while commits have every replica to wait for. */
  #whatIsWrong(action: Action, { instances, database }: Desired): string | null {
    const memberName = action.kind === 'stopContainer' ? action.name : action.kind === 'switchover' ? names.member(action.leaderId) : null
    const instance = instances.find(({ kind, members }) => kind === 'cluster' && members.some(({ id }) => names.member(id) === memberName))
    if (instance === undefined || database.deletionRequestedAt !== null) return null
    const { clusters, containers } = this.engine
    // what has ended meanwhile, or is told to end twice, costs nothing any more
    if (memberName === null || containers.get(memberName)?.state !== 'running') return null
    const standing = instance.members.filter(({ id }) => clusters.isSynchronous(instance.id, id))
    const isWhole = clusters.leading(instance.id) !== null && standing.length === instance.members.length - 1
    return isWhole ? null : `${memberName} was taken down while the cluster was not whole`
  }

  #observe(desired: Desired): Observed {
    this.engine.turn()
    const objectStore: Sighting<true> = this.engine.isBucketAway ? unknown('it does not answer') : known(true, this.now)
    if (this.engine.isAway) {
      const engines = new Map([[theHost.id, unknown('the engine does not answer')]])
      const clusters = new Map(desired.instances.filter(({ kind }) => kind === 'cluster').map(({ id }) => [id, this.#cluster(id)]))
      return { engines, postgres: new Map(), patroni: new Map(), clusters, proxies: new Map(), archives: new Map(), jobs: new Map(), objectStore }
    }
    const own = [...this.engine.containers.values()].filter(({ blueprint: { labels } }) => isOf(desired, labels))
    const at = this.now
    return {
      engines: new Map([[theHost.id, known(this.#seen(desired, own), at)]]),
      postgres: new Map(desired.instances.flatMap(({ members }) => members).flatMap(({ id }) => {
        const container = own.find(({ name, state }) => name === names.member(id) && state === 'running')
        return container === undefined ? [] : [[id, this.#postgres(id, container)] as const]
      })),
      patroni: new Map(own.filter((container) => isClusterMember(container) && container.state === 'running').map((container) => [memberOf(container), this.#patroni(container)])),
      clusters: new Map(desired.instances.filter(({ kind }) => kind === 'cluster').map(({ id }) => [id, this.#cluster(id)])),
      proxies: new Map((desired.endpoint === null ? [] : proxiesInUse(desired, desired.endpoint)).flatMap(({ slot }): [string, Sighting<ProxySeen>][] => {
        const container = own.find(({ name, state }) => name === names.endpoint(desired.endpoint?.id ?? '', slot) && state === 'running')
        return container === undefined ? [] : [[proxyKey(desired.endpoint?.id ?? '', slot), known({ configHash: container.loadedConfig }, at)]]
      })),
      archives: new Map(desired.instances.map(({ id }) => [id, known({ newestWalFile: '000000010000000000000003', newestAt: at }, at)])),
      jobs: new Map(own.flatMap((container): [string, Sighting<JobSeen>][] =>
        container.job === null ? [] : [[container.job.order.jobId, known({ container: seenOf(container), progress: container.job.progress, result: container.job.result }, at)]])),
      objectStore,
    }
  }

  #seen(desired: Desired, own: readonly Container[]): EngineSeen {
    return {
      containers: own.map(seenOf),
      volumes: [...this.engine.volumes.values()].filter(({ labels }) => labels[label.database] === desired.database.id).map(({ name, labels }) => ({ name, labels })),
      networks: [...this.engine.networks].filter(([, { projectId }]) => projectId === desired.project.id).map(([name, { id }]) => ({ id, name, labels: {} })),
    }
  }

  #cluster(instanceId: string): Observed['clusters'] extends ReadonlyMap<string, infer Seen> ? Seen : never {
    const { clusters } = this.engine
    return clusters.isEtcdAway ? unknown('etcd does not answer') : known(clusters.seen(instanceId), this.now)
  }

  /** `since` as the observer keeps it: since when every look found it doing the same. */
  #patroni(container: Container): Sighting<PatroniSeen> {
    const { clusters } = this.engine
    if (!clusters.isReached(container)) return unknown('it does not answer')
    const report = clusters.report(container)
    const doing = `${container.id} ${container.since.getTime()} ${report.replicationState === 'streaming' || report.role === 'leader' ? 'serving' : report.state === 'creating replica' ? 'copying' : 'neither'}`
    const kept = this.#doing.get(memberOf(container))
    const since = kept?.doing === doing ? kept.since : this.now
    this.#doing.set(memberOf(container), { doing, since })
    return known({ ...report, since }, this.now)
  }

  #agents(member: Container): number {
    const instance = member.blueprint.labels[label.instance]
    return [...this.engine.containers.values()].filter(({ state, blueprint: { labels } }) => state === 'running' && labels[label.kind] === 'agent' && labels[label.instance] === instance).length
  }

  #postgres(memberId: string, container: Container): Sighting<PostgresSeen> {
    const data = this.engine.server(container)
    if (data === null) return unknown('it is starting')
    const share = this.engine.usedShare.get(memberId) ?? 0.1
    const { clusters } = this.engine
    const leads = isClusterMember(container) && clusters.leading(instanceOf(container)) === container
    return known({
      inRecovery: isClusterMember(container) ? !leads : data.isRecovering, systemIdentifier: data.systemIdentifier, timeline: clusters.timeline(instanceOf(container)),
      receivedTimeline: null,
      walSenders: leads ? clusters.walSenders(instanceOf(container)) : [], synchronousStandbyNames: '', lsn: parseLsn('0/4000000'), configHash: container.loadedConfig,
      slots: data.slot === null ? [] : [{ name: walSlotName, active: data.slot === 'reserved', walStatus: data.slot, retainedBytes: 0 }],
      databases: [...data.databases],
      roles: [...Object.entries(data.roles).map(([name, role]) => ({ name, ...role })), { name: walRoleName, verifier: null, canLogin: true, sessions: this.#agents(container) }],
      storage: { totalBytes: 1_000, usedBytes: Math.round(share * 1_000) }, databaseBytes: 1, defaultReadOnly: data.isReadOnly, preparedVersion: data.prepared,
    }, this.now)
  }
}

/** As the observer tells them apart: a proxy belongs to its endpoint, whichever database has it now. */
function isOf({ database, endpoint }: Desired, labels: Readonly<Record<string, string>>): boolean {
  const made = labels[label.endpoint]
  return made === undefined ? labels[label.database] === database.id : made === endpoint?.id
}

function memberOf({ blueprint: { labels } }: Container): string {
  return labels[label.member] ?? ''
}

function seenOf({ id, name, blueprint, state, since, exitCode }: Container): EngineSeen['containers'][number] {
  return { id, name, labels: blueprint.labels, state, since, exitCode }
}
