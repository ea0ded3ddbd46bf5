/**
 * The guard in the model: the shipped verdict on evidence drawn from the state, the shipped list of steps, and the shipped transaction,
 * carried out on the model's keys. A rule can be taken out of the transaction, or of what surrounds it, to see whether it is missed.
 */
import type { EtcdOperation, EtcdTxn } from '../../../src/clients/etcd.ts'
import { stepAfter, firstStep, type HostLostStep } from '../../../src/failover/hostLost.ts'
import { leaderKey, releaseTransaction, syncForMove, syncKey } from '../../../src/failover/transaction.ts'
import { judge, keysToRelease, type KeysToRelease } from '../../../src/failover/verdict.ts'
import { answers, container, engineSilent, evidence, silent } from '../evidence.ts'
import type { Step, World } from './patroni.ts'
import { A, L, bit, nobody, replicas, type Field, type Keys, type State } from './state.ts'

export const rules = ['syncCompare', 'syncPutAgain', 'deleteBeforePut', 'quorumWaits', 'detach', 'proofOfDeath', 'candidateHasAll'] as const
export type Rule = (typeof rules)[number]

export interface GuardPlan {
  /** `hostLost`: nothing of L can be seen. `container`: the engine tells the truth about L. `move`: L is to hand over to A. */
  readonly kind: 'hostLost' | 'container' | 'move'
  readonly without: ReadonlySet<Rule>
}

type GuardField = 'pc' | 'key' | 'sync' | 'set'
const fieldOf = (guard: 1 | 2, field: GuardField): Field => `g${guard}${field}`

/** Places in the procedure; 0 before, then each step. */
const places: readonly HostLostStep[] = ['read', 'block', 'see', 'transact', 'awaitWritable', 'unblock']
const over = 20
const released = 21

export function* guardSteps(state: State, world: World, plan: GuardPlan, guard: 1 | 2): Generator<Step> {
  switch (plan.kind) {
    case 'hostLost':
      yield* hostLostSteps(state, world, plan, guard)
      break
    case 'container':
      yield* containerSteps(state, world, plan, guard)
      break
    case 'move':
      yield* moveSteps(state, plan, guard)
  }
}

function* hostLostSteps(state: State, world: World, plan: GuardPlan, guard: 1 | 2): Generator<Step> {
  const place = state.get(fieldOf(guard, 'pc'))
  if (place >= over) return
  const step = place === 0 ? firstStep : places[place - 1]
  if (step === undefined) return
  const say = (what: string): string => `guard ${guard}: ${what}`
  const then = (next: State, wentWell: boolean): State => goTo(next, guard, after(step, wentWell, plan))
  switch (step) {
    case 'read': {
      const keys = hostLostKeys(state, world, plan)
      yield keys === null
        ? { name: say('reads, and leaves it to the lease'), state: then(state, false) }
        : { name: say('reads the keys'), state: then(hold(state, guard, keys), true) }
      break
    }
    case 'block':
      yield { name: say('blocks L everywhere'), state: then(state.with({ blocked: 1 }), true) }
      break
    case 'see':
      // it may also run out of time, or another guard may have taken the block back
      if (state.get('blocked') === 1) yield { name: say('sees that nobody follows L'), state: then(state, true) }
      yield { name: say('does not see it in time'), state: then(state, false) }
      break
    case 'transact': {
      const outcome = carryOut(state, mutilated(releaseTransaction('/', held(state, guard)), plan))
      if (outcome === null) return
      yield { name: say(outcome.holds ? 'lets the key go' : 'is refused'), state: then(outcome.state, outcome.holds) }
      // a lost answer is read back; whether it was done is then known
      if (!outcome.holds) break
      yield { name: say('lets the key go, reads that back'), state: then(outcome.state, outcome.state.keys().owner !== L) }
      break
    }
    case 'awaitWritable':
      if (state.get('promoted') === 1) yield { name: say('sees a new primary'), state: then(state, true) }
      if (state.keys().owner === L) yield { name: say('sees L take the key again'), state: then(state, false) }
      break
    case 'unblock':
      yield { name: say('takes the block back'), state: then(state.with({ blocked: 0 }), true) }
  }
}

/** The block ends by itself, too: of a guard that died. In quorum mode it has to outlast the votes: its time is chosen for that. */
export function* blockEnds(state: State, { mode }: World): Generator<Step> {
  if (state.get('blocked') === 1 && mode === 'strict') yield { name: 'the block ends by itself', state: state.with({ blocked: 0 }) }
}

function after(step: HostLostStep, wentWell: boolean, { without }: GuardPlan): HostLostStep | null {
  const next = stepAfter(step, wentWell)
  return without.has('detach') && (next === 'block' || next === 'see') ? 'transact' : next
}

function goTo(state: State, guard: 1 | 2, step: HostLostStep | null): State {
  const place = { [fieldOf(guard, 'pc')]: step === null ? over : places.indexOf(step) + 1 }
  // what it read is of no use any more
  const forgets = step === null || step === 'awaitWritable' || step === 'unblock'
  return state.with(forgets ? { ...place, [fieldOf(guard, 'key')]: 0, [fieldOf(guard, 'sync')]: 0, [fieldOf(guard, 'set')]: 0 } : place)
}

/** The second opinion is granted whenever it is asked for: the proof does not rest on it. */
function hostLostKeys(state: State, world: World, plan: GuardPlan): KeysToRelease | null {
  const mode = plan.without.has('quorumWaits') ? 'strict' : world.mode
  const keys = seenKeys(state.keys(), mode)
  const deaf = { said: { heardMs: 2_500 } }
  const verdict = judge(evidence({ keys, a: { container: engineSilent(3_000), patroni: silent(3_000), query: silent(3_000) }, b: deaf, c: deaf }))
  return verdict.kind === 'hostLost' ? keysToRelease({ known: true, agoMs: 0, paused: false, moving: false, ...keys }) : null
}

/** What the engine says of L's container is true; it is read some time before it is acted on. */
function* containerSteps(state: State, world: World, plan: GuardPlan, guard: 1 | 2): Generator<Step> {
  const place = state.get(fieldOf(guard, 'pc'))
  if (place === released) {
    const outcome = carryOut(state, mutilated(releaseTransaction('/', held(state, guard)), plan))
    if (outcome !== null) yield { name: `guard ${guard}: ${outcome.holds ? 'lets the key go' : 'is refused, and looks again'}`, state: outcome.state.with({ [fieldOf(guard, 'pc')]: outcome.holds ? over : 0 }) }
    return
  }
  if (place !== 0) return
  const keys = seenKeys(state.keys(), world.mode)
  const down = state.get('downL')
  const seen = down === 2 || plan.without.has('proofOfDeath') ? container('exited', 20) : container('running', 60_000)
  const leader = keys.leader === null ? null : { ...keys.leader, leaseSeconds: down === 1 ? 16 : 19 }
  const patroni = down === 1 ? silent(2_500) : answers()
  const verdict = judge(evidence({ keys: { ...keys, leader }, a: { container: seen, patroni } }))
  if (verdict.kind === 'killLeader') yield { name: `guard ${guard}: kills L (${verdict.because}) and sees it dead`, state: state.with({ downL: 2 }) }
  if (verdict.kind === 'releaseLeader') yield { name: `guard ${guard}: has proof that L is dead`, state: hold(state, guard, verdict.keys).with({ [fieldOf(guard, 'pc')]: released }) }
}

/** PostgreSQL of L has stopped cleanly, then its container is killed; only then the key goes, and only A may win. */
function* moveSteps(state: State, plan: GuardPlan, guard: 1 | 2): Generator<Step> {
  const pc = fieldOf(guard, 'pc')
  const say = (what: string): string => `guard ${guard}: ${what}`
  switch (state.get(pc)) {
    case 0:
      if (state.keys().owner === L) yield { name: say('freezes Patroni of L and stops PostgreSQL'), state: state.with({ stoppedL: 1, downL: 1, [pc]: 1 }) }
      break
    case 1: {
      // A never gets x in this model: it has all only if there is no x
      const hasAll = state.get('written') === 0 || plan.without.has('candidateHasAll')
      yield hasAll
        ? { name: say('sees that A has all, kills L'), state: state.with({ downL: 2, [pc]: 2 }) }
        : { name: say('goes back'), state: state.with({ stoppedL: 0, downL: 0, [pc]: over }) }
      break
    }
    case 2: {
      const keys = keysToRelease({ known: true, agoMs: 0, paused: false, moving: false, ...seenKeys(state.keys(), 'strict') })
      if (keys !== null && keys.leader === 'a' && (state.keys().syncSet & bit(A)) !== 0) yield { name: say('reads the keys'), state: hold(state, guard, keys).with({ [pc]: 3 }) }
      break
    }
    case 3: {
      const outcome = carryOut(state, mutilated(releaseTransaction('/', held(state, guard), syncForMove('a', 'b')), plan))
      if (outcome !== null) yield { name: say(outcome.holds ? 'lets the key go to A' : 'is refused'), state: outcome.state.with({ [pc]: outcome.holds ? over : 2 }) }
    }
  }
}

/** The model's nodes by the names that evidence uses. */
const nameOf: readonly string[] = ['a', 'b', 'c']

function seenKeys({ owner, keyRevision, syncLeader, syncSet, syncRevision }: Keys, mode: World['mode']): {
  readonly mode: World['mode']
  readonly leader: { readonly name: string; readonly modRevision: number; readonly leaseSeconds: number; readonly grantedSeconds: number } | null
  readonly sync: { readonly value: string; readonly modRevision: number; readonly leader: string; readonly standbys: string[] }
} {
  return {
    mode,
    leader: owner === nobody ? null : { name: nameOf[owner] ?? '', modRevision: keyRevision, leaseSeconds: 19, grantedSeconds: 20 },
    sync: { value: valueOf(syncLeader, syncSet), modRevision: syncRevision, leader: nameOf[syncLeader] ?? '', standbys: standbysOf(syncSet) },
  }
}

const standbysOf = (set: number): string[] => replicas.filter((one) => (set & bit(one)) !== 0).map((one) => nameOf[one] ?? '')
const valueOf = (leader: number, set: number): string => JSON.stringify({ leader: nameOf[leader], sync_standby: standbysOf(set).join(','), quorum: 0 })

function parsedValue(value: string): { readonly syncLeader: number; readonly syncSet: number } {
  const { leader, sync_standby } = JSON.parse(value) as { leader: string; sync_standby: string }
  const set = replicas.filter((one) => sync_standby.split(',').includes(nameOf[one] ?? '-')).reduce<number>((all, one) => all | bit(one), 0)
  return { syncLeader: nameOf.indexOf(leader), syncSet: set }
}

function hold(state: State, guard: 1 | 2, keys: KeysToRelease): State {
  const { syncLeader, syncSet } = parsedValue(keys.syncValue)
  return state.with({ [fieldOf(guard, 'key')]: keys.leaderModRevision, [fieldOf(guard, 'sync')]: keys.syncModRevision, [fieldOf(guard, 'set')]: (syncLeader << 3) | syncSet })
}

function held(state: State, guard: 1 | 2): KeysToRelease {
  const packed = state.get(fieldOf(guard, 'set'))
  return {
    leader: 'a', leaderModRevision: state.get(fieldOf(guard, 'key')), syncModRevision: state.get(fieldOf(guard, 'sync')),
    syncValue: valueOf(packed >> 3, packed & 7),
  }
}

/** The shipped transaction, less the rule that is to be missed. */
function mutilated(txn: EtcdTxn, { without }: GuardPlan): EtcdTxn {
  const when = without.has('syncCompare') ? txn.when.filter(({ key }) => key !== syncKey('/')) : txn.when
  const kept: readonly EtcdOperation[] = without.has('syncPutAgain') ? txn.then.filter(({ kind }) => kind !== 'put') : txn.then
  return { when, then: without.has('deleteBeforePut') ? [...kept].reverse() : kept }
}

/** As etcd does it: all comparisons at once, then the operations, one event each, under one revision. Null: no room for more history. */
function carryOut(state: State, txn: EtcdTxn): { readonly holds: boolean; readonly state: State } | null {
  const now = state.keys()
  const holds = txn.when.every((compare) => {
    const [value, revision] = compare.key === leaderKey('/') ? [nameOf[now.owner] ?? '', now.keyRevision] : [valueOf(now.syncLeader, now.syncSet), now.syncRevision]
    if ('value' in compare) return compare.value === value
    return 'modRevision' in compare && compare.modRevision === revision
  })
  if (!holds) return { holds, state }
  const events: Keys[] = []
  for (const operation of txn.then) {
    const before = events.at(-1) ?? now
    if (operation.kind === 'delete') events.push({ ...before, owner: nobody, keyRevision: 0 })
    if (operation.kind === 'put') events.push({ ...before, ...parsedValue(operation.value), syncRevision: state.get('revision') + 1 })
  }
  const told = state.told(events)
  return told === null ? null : { holds, state: told }
}
