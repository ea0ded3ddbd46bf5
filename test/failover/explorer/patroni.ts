/**
 * The steps of Patroni 4.0.7 and PostgreSQL that decide whether a write survives, each as small as others can come between:
 * `ha.py:_process_multisync_replication`, `process_unhealthy_cluster`, `process_sync_replication_prepromote`, `_is_healthiest_node`.
 * Where the real thing does less (it may find its rival alive, or behind), the model does more: what is safe here is safe there.
 */
import { A, B, L, bit, nobody, replicas, type Changes, type Field, type Keys, type State } from './state.ts'

export interface Step {
  readonly name: string
  readonly state: State
}

export interface World {
  readonly mode: 'strict' | 'quorum'
  /** Something else streams from L and confirms what it flushed: under '*' it counts. */
  readonly foreignWalsender: boolean
  /** L's Patroni may stop and go on at any moment. */
  readonly freezes: boolean
  /** L's container may die at any moment. */
  readonly dies: boolean
}

/** L's cycle, and a replica's. */
const idle = 0
const awaitsRemoval = 1
const setsSsn = 2
const mayAdd = 3
const awaitsAddition = 4
const races = 1
const preparesPromotion = 2
const promotes = 3
export const isPrimary = 4

export function* steps(state: State, world: World): Generator<Step> {
  yield* clientSteps(state, world)
  yield* leaderSteps(state, world)
  yield* wireSteps(state)
  yield* raceSteps(state, world)
  yield* faults(state, world)
}

function* clientSteps(state: State, world: World): Generator<Step> {
  if (!isServing(state)) return
  if (state.get('written') === 0) yield { name: 'L writes x', state: state.with({ written: 1 }) }
  // a connection that breaks and comes back is a flush that comes later: there is no need for it in the model
  else if (state.get('flushedB') === 0 && state.get('blocked') === 0) yield { name: 'B flushes x', state: state.with({ flushedB: 1 }) }
  if (state.get('acked') < state.get('written') && isConfirmed(state, world)) yield { name: 'L acknowledges x', state: state.with({ acked: 1 }) }
}

function isServing(state: State): boolean {
  return state.get('stoppedL') === 0 && state.get('downL') < 2
}

function isConfirmed(state: State, { mode, foreignWalsender }: World): boolean {
  const byB = state.get('flushedB') === 1
  if (state.get('ssnAny') === 1) return foreignWalsender || byB
  const names = state.get('ssn')
  return byB && (mode === 'quorum' ? (names & bit(B)) !== 0 : names === bit(B))
}

function* leaderSteps(state: State, { mode }: World): Generator<Step> {
  if (!isServing(state) || state.get('downL') !== 0) return
  switch (state.get('pcL')) {
    case idle:
      for (const event of views(state, 'viewL')) yield* leaderCycle(state.with({ viewL: event }), state.keys(event), mode)
      break
    case awaitsRemoval:
      yield { name: 'L gives its write of /sync up', state: state.with({ pcL: idle, sentWaits: 0 }) }
      break
    // see docs/failover.md, "what is assumed": an addition that arrives after its leader went on is a hole of the lease itself
    case awaitsAddition:
      break
    case setsSsn: {
      const picked = state.get('pickedL')
      yield { name: `L waits for ${named(picked)} from now on`, state: state.with({ ssn: picked, ssnAny: picked === 0 ? 1 : 0, pcL: mayAdd }) }
      break
    }
    case mayAdd:
      yield { name: 'L ends its cycle', state: state.with({ pcL: idle }) }
      yield* leaderAdds(state)
  }
}

/** With the picture of the keys that it has, which may be an old one. */
function* leaderCycle(state: State, keys: Keys, mode: World['mode']): Generator<Step> {
  if (keys.owner === nobody) {
    const created = acquire(state, L)
    if (created !== null) yield { name: 'L takes the key again', state: created }
  } else if (keys.owner !== L) {
    yield { name: 'L sees another leader and stops', state: state.with({ stoppedL: 1 }) }
  } else if (mode === 'strict') {
    // which replicas it sees streaming is the network's business; with A alone it would acknowledge nothing
    for (const picked of [0, bit(B), bit(A) | bit(B)]) {
      const kept = keys.syncSet & picked
      const isAsBefore = picked === state.get('ssn') && kept === keys.syncSet && kept === picked
      if (isAsBefore) continue
      const next = state.with({ pickedL: picked, syncL: kept, casRevisionL: keys.syncRevision })
      if (kept === keys.syncSet) yield { name: `L sees ${named(picked)}`, state: next.with({ pcL: setsSsn }) }
      else if (state.get('sent') === 0) yield { name: `L sends /sync = ${named(kept)}`, state: send(next, kept, keys.syncRevision).with({ pcL: awaitsRemoval }) }
    }
  }
}

/** Only what is confirmed: it counts as synchronous, and has all that L had when that began. */
function* leaderAdds(state: State): Generator<Step> {
  const before = state.get('syncL')
  const isWritten = state.get('written') === 1
  const confirmed = state.get('blocked') === 1 ? 0 : (isWritten ? 0 : bit(A)) | (isWritten && state.get('flushedB') === 0 ? 0 : bit(B))
  const after = before | (confirmed & state.get('ssn'))
  if (after === before || state.get('sent') !== 0) return
  yield { name: `L sends /sync = ${named(after)}`, state: send(state, after, state.get('casRevisionL')).with({ pcL: awaitsAddition }) }
}

function send(state: State, set: number, revision: number): State {
  return state.with({ sent: 1, sentSet: set, sentRevision: revision, sentWaits: 1 })
}

/** The write of /sync arrives: it may be late, and its answer may be lost. (A second arrival finds another revision, always.) */
function* wireSteps(state: State): Generator<Step> {
  if (state.get('sent') === 0) return
  const now = state.keys()
  const waits = state.get('sentWaits') === 1
  const done = state.with({ sent: 0, sentWaits: 0 })
  if (state.get('sentRevision') !== now.syncRevision) {
    yield { name: '/sync was changed meanwhile: the write fails', state: waits ? done.with({ pcL: idle }) : done }
    return
  }
  const written = done.told([{ ...now, syncLeader: L, syncSet: state.get('sentSet'), syncRevision: state.get('revision') + 1 }])
  if (written === null) return
  const told = `/sync = ${named(state.get('sentSet'))} is written`
  if (!waits) yield { name: told, state: written }
  else {
    const next = state.get('pcL') === awaitsRemoval ? written.with({ pcL: setsSsn, casRevisionL: written.get('revision') }) : written.with({ pcL: idle })
    yield { name: told, state: next }
    yield { name: `${told}, the answer is lost`, state: written.with({ pcL: idle }) }
  }
}

function* raceSteps(state: State, world: World): Generator<Step> {
  switch (state.get('pcA')) {
    case idle:
      for (const event of views(state, 'viewA')) {
        const seen = state.with({ viewA: event })
        const keys = state.keys(event)
        if (keys.owner === A) yield { name: 'A finds that it has the key', state: seen.with({ pcA: preparesPromotion }) }
        else if (keys.owner === nobody && mayRace(state, world, keys)) yield { name: `A may race, by /sync = ${named(keys.syncSet)}`, state: seen.with({ pcA: races }) }
      }
      break
    case races: {
      if (state.keys().owner !== nobody) yield { name: 'A loses the race', state: state.with({ pcA: idle }) }
      const created = acquire(state, A)
      if (created !== null) yield { name: 'A takes the key', state: created.with({ pcA: preparesPromotion }) }
      break
    }
    // whatever it has heard of by now: it does not ask again whether it may lead
    case preparesPromotion:
      for (const event of views(state, 'viewA')) yield* preparePromotion(state.with({ viewA: event }), state.keys(event), world)
      break
    case promotes:
      yield { name: 'A is promoted', state: state.with({ pcA: isPrimary, promoted: 1 }) }
  }
}

/** Strict: whom /sync names. Quorum: also needs the vote of another one that it names and that is not ahead. */
function mayRace(state: State, { mode }: World, { syncSet }: Keys): boolean {
  if ((syncSet & bit(A)) === 0) return false
  const needsVote = mode === 'quorum' && (syncSet & bit(B)) !== 0
  return !needsVote || state.get('flushedB') === 0
}

function* preparePromotion(state: State, seen: Keys, { mode }: World): Generator<Step> {
  // in quorum mode /sync stays as it is until after the promotion
  if (mode === 'quorum') {
    yield { name: 'A goes on', state: state.with({ pcA: promotes }) }
    return
  }
  const now = state.keys()
  if (seen.syncRevision !== now.syncRevision) {
    yield { name: 'A postpones its promotion', state: state.with({ pcA: idle }) }
    return
  }
  const told = state.told([{ ...now, syncLeader: A, syncSet: 0, syncRevision: state.get('revision') + 1 }])
  if (told !== null) yield { name: 'A writes /sync = nobody', state: told.with({ pcA: promotes }) }
}

/**
 * Of states that go on in the same way, the same one: what is left over in registers that nobody reads again, pictures of a node that
 * has stopped looking, and the part of the history that everybody has seen.
 */
export function canonical(state: State): State {
  const last = state.get('events') - 1
  const changes: { -readonly [name in keyof Changes]: Changes[name] } = {}
  if (state.get('pcL') === idle) Object.assign(changes, noCycle)
  if (state.get('stoppedL') === 1 || state.get('downL') === 2) Object.assign(changes, noCycle, { viewL: last, pcL: 0, sentWaits: 0 })
  if (state.get('pcA') === isPrimary) changes.viewA = last
  if (state.get('sent') === 0) Object.assign(changes, { sentRevision: 0, sentSet: 0, sentWaits: 0 })
  const next = state.with(changes)
  return next.forgetting(Math.min(next.get('viewL'), next.get('viewA')))
}

const noCycle = { pickedL: 0, syncL: 0, casRevisionL: 0 }

function* faults(state: State, { freezes, dies }: World): Generator<Step> {
  const down = state.get('downL')
  if (freezes && down === 0) yield { name: 'Patroni of L freezes', state: state.with({ downL: 1 }) }
  if (freezes && down === 1) yield { name: 'Patroni of L goes on', state: state.with({ downL: 0 }) }
  if (dies && down < 2) yield { name: 'the container of L dies', state: state.with({ downL: 2 }) }
}

/** Everything from the last picture that it had to the newest; a picture never goes back. */
function views(state: State, view: Field): number[] {
  const from = state.get(view)
  return Array.from({ length: state.get('events') - from }, (_, index) => from + index)
}

/** Null when somebody holds the key. */
function acquire(state: State, node: number): State | null {
  const now = state.keys()
  return now.owner === nobody ? state.told([{ ...now, owner: node, keyRevision: state.get('revision') + 1 }]) : null
}

export function nodeName(node: number): string {
  return ['L', 'A', 'B', 'nobody'][node] ?? '?'
}

function named(set: number): string {
  const list = replicas.filter((one) => (set & bit(one)) !== 0).map(nodeName)
  return list.length === 0 ? 'nobody' : list.join('+')
}
