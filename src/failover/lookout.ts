/** Everything that is known of one cluster: its members' probes and its keys, put together as evidence. Asks what it is told to ask. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { WatchedCluster } from './cluster.ts'
import type { Evidence, KeysEvidence, KnownKeys } from './evidence.ts'
import { readKeys, unknownKeys } from './keys.ts'
import { MemberProbe, type Question } from './memberProbe.ts'
import type { GuardWorld } from './ports.ts'

/** A hung question must not keep the others' answers from being judged. */
const glanceMs = 60
/** Reading the keys costs three members of etcd a round of their own. */
const glanceKeysMs = 60

export class Lookout {
  readonly cluster: WatchedCluster
  readonly probes: readonly MemberProbe[]
  readonly #world: GuardWorld
  readonly #end = new AbortController()
  #keys: { readonly at: number; readonly what: Omit<KnownKeys, 'agoMs'> } | null = null
  #keysUnknown: { readonly since: number; readonly error: unknown } = { since: performance.now(), error: new Error('they were not read yet') }
  #keysRead: Promise<void> | null = null
  #keysAskedAt = -Infinity
  /** Readings that began before are of keys that we have changed since. */
  #keysCountFrom = 0
  #lateMs = 0
  #awakeSince = performance.now()

  /** `onBroken`: a kept session to a member ended. */
  constructor(cluster: WatchedCluster, world: GuardWorld, onBroken: () => void) {
    this.cluster = cluster
    this.#world = world
    this.probes = cluster.members.map((member) => new MemberProbe(member, cluster, world, onBroken))
  }

  /** As it was last read, whenever that was. */
  get leader(): string | null {
    return this.#keys?.what.leader?.name ?? null
  }

  probeOf(name: string): MemberProbe | undefined {
    return this.probes.find(({ member }) => member.name === name)
  }

  wasLate(ms: number): void {
    this.#lateMs = ms
  }

  /** Our process did not run for a while: what looked like silence has to be seen anew. */
  overslept(now: number): void {
    this.#awakeSince = now
    for (const probe of this.probes) probe.doubt()
  }

  evidence(): Evidence {
    const now = performance.now()
    return {
      at: new Date().toISOString(),
      instanceId: this.cluster.instanceId,
      guard: { lateMs: Math.round(this.#lateMs), awakeMs: Math.round(now - this.#awakeSince) },
      keys: this.#keysEvidence(now),
      members: this.probes.map((probe) => probe.evidence(now)),
    }
  }

  /** Everything that counts, at once. Slow answers are not waited for longer than a moment: they arrive in a later look. */
  async look(): Promise<Evidence> {
    const asked = this.probes.flatMap((probe) => [probe.ask('container'), probe.ask('query'), probe.ask('patroni')])
    await this.#await([...asked, this.readKeys(true)], this.#end.signal)
    return this.evidence()
  }

  /** What costs little, and whatever else has come in meanwhile. The abort of `signal` ends the waiting: there is something to see. */
  async glance(signal: AbortSignal): Promise<Evidence> {
    if (signal.aborted) return this.evidence()
    const asked = this.probes.filter((probe) => !probe.hasEnded).map((probe) => probe.ask('query'))
    const areKeysDue = performance.now() - this.#keysAskedAt >= glanceKeysMs
    await this.#await([...asked, ...areKeysDue ? [this.readKeys(true)] : []], signal)
    return this.evidence()
  }

  async #await(asked: readonly Promise<void>[], signal: AbortSignal): Promise<void> {
    await Promise.race([Promise.all(asked), sleep(glanceMs, undefined, { signal }).catch(() => undefined)])
  }

  ask(question: Question, name: string): void {
    void this.probeOf(name)?.ask(question)
  }

  /** One reading at a time. Never rejects. */
  readKeys(withLease: boolean): Promise<void> {
    if (this.#keysRead !== null) return this.#keysRead
    const reading = this.#readKeysOnce(withLease).finally(() => {
      if (this.#keysRead === reading) this.#keysRead = null
    })
    this.#keysRead = reading
    return reading
  }

  /** They were moved, by us or before us: what was read, and what is being read, is not how they are. */
  forgetKeys(): void {
    this.#keysCountFrom = performance.now()
    this.#keysUnknown = { since: this.#keysCountFrom, error: new Error('they were changed, and not read since') }
    this.#keys = null
    this.#keysRead = null
  }

  close(): void {
    this.#end.abort(new Error('the guard does not watch this cluster any more'))
    for (const probe of this.probes) probe.close()
  }

  async #readKeysOnce(withLease: boolean): Promise<void> {
    const askedAt = performance.now()
    this.#keysAskedAt = askedAt
    try {
      const what = await readKeys(this.#world.etcd, this.cluster.prefix, { withLease }, this.#end.signal)
      if (askedAt >= this.#keysCountFrom) this.#keys = { what, at: askedAt }
    } catch (error) {
      if (this.#keys === null) this.#keysUnknown = { ...this.#keysUnknown, error }
    }
  }

  /** What was read a while ago is still told, with its age: whether that is evidence is not decided here. */
  #keysEvidence(now: number): KeysEvidence {
    if (this.#keys !== null) return { ...this.#keys.what, agoMs: Math.round(now - this.#keys.at) }
    return unknownKeys(this.#keysUnknown.error, Math.round(now - this.#keysUnknown.since))
  }
}
