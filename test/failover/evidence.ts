/** Evidence for tests: a cluster that is well, and changes of single facts. */
import type { ContainerEvidence, Evidence, KnownKeys, MemberEvidence, MemberSaid, ProbeEvidence } from '../../src/failover/evidence.ts'

/** The leader `a`, and two synchronous replicas. */
export const names = ['a', 'b', 'c'] as const
export type Name = (typeof names)[number]

export interface Changes {
  readonly keys?: Partial<KnownKeys> | { readonly known: false }
  readonly guard?: Partial<Evidence['guard']>
  readonly a?: MemberChanges
  readonly b?: MemberChanges
  readonly c?: MemberChanges
}

export interface MemberChanges {
  readonly container?: ContainerEvidence
  readonly patroni?: ProbeEvidence
  readonly query?: ProbeEvidence
  readonly connect?: ProbeEvidence
  readonly said?: Partial<MemberSaid> | null
}

export const startedAt = '2026-11-22T01:00:00.000Z'

export const answers = (agoMs = 50): ProbeEvidence => ({ seen: 'answers', agoMs })
export const silent = (forMs: number, rounds = Math.floor(forMs / 300)): ProbeEvidence => ({ seen: 'silent', forMs, rounds })
export const refuses = (forMs: number, rounds = Math.ceil(forMs / 100)): ProbeEvidence => ({ seen: 'refuses', forMs, rounds })
export const never: ProbeEvidence = { seen: 'never' }

export function container(state: Extract<ContainerEvidence, { known: true }>['state'], forMs: number, name: Name = 'a'): ContainerEvidence {
  return { known: true, id: `container-${name}`, startedAt, state, by: 'answer', forMs }
}

export const engineSilent = (forMs: number): ContainerEvidence => ({ known: false, reason: 'the engine did not answer', forMs })

/** The leader key's revision is 100, that of `/sync` 90. */
export function evidence(changes: Changes = {}): Evidence {
  const keys: KnownKeys = {
    known: true, agoMs: 100, mode: 'strict', paused: false, moving: false,
    leader: { name: 'a', modRevision: 100, leaseSeconds: 19, grantedSeconds: 20 },
    sync: { value: '{"leader":"a","sync_standby":"b,c"}', modRevision: 90, leader: 'a', standbys: ['b', 'c'] },
  }
  return {
    at: '2026-11-22T02:00:00.000Z',
    instanceId: '00000000-0000-4000-8000-000000000001',
    guard: { lateMs: 0, awakeMs: 60_000, ...changes.guard },
    keys: changes.keys?.known === false ? { known: false, reason: 'etcd does not answer', forMs: 3_000 } : { ...keys, ...changes.keys },
    members: names.map((name) => member(name, changes[name] ?? {})),
  }
}

function member(name: Name, changes: MemberChanges): MemberEvidence {
  const isLeader = name === 'a'
  const said: MemberSaid = isLeader
    ? { agoMs: 100, inRecovery: false, heardMs: null, repliesMs: { b: 300, c: 300 } }
    : { agoMs: 100, inRecovery: true, heardMs: 300, repliesMs: {} }
  return {
    memberId: `member-${name}`, name,
    container: changes.container ?? container('running', 600_000, name),
    patroni: changes.patroni ?? answers(),
    query: changes.query ?? answers(),
    connect: changes.connect ?? answers(),
    said: changes.said === null ? null : { ...said, ...changes.said },
  }
}
