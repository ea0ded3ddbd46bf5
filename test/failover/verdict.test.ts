/** The table of evidence: what the guard concludes from what. Every row begins with a cluster that is well and changes what it says. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { judge, type Verdict } from '../../src/failover/verdict.ts'
import { answers, container, engineSilent, evidence, never, refuses, silent, startedAt, type Changes, type Name } from './evidence.ts'

type Row = readonly [title: string, changes: Changes, verdict: Verdict]

const nothing: Verdict = { kind: 'nothing' }
const wait = (reason: Extract<Verdict, { kind: 'wait' }>['reason'], member: Name | null = null): Verdict => ({ kind: 'wait', reason, member })
const run = (name: Name): { memberId: string; name: string; containerId: string; startedAt: string } =>
  ({ memberId: `member-${name}`, name, containerId: `container-${name}`, startedAt })
const release = (state: string): Verdict => ({
  kind: 'releaseLeader',
  keys: { leader: 'a', leaderModRevision: 100, syncValue: '{"leader":"a","sync_standby":"b,c"}', syncModRevision: 90 },
  proof: { ...run('a'), state },
})
const killLeader = (because: Extract<Verdict, { kind: 'killLeader' }>['because']): Verdict => ({ kind: 'killLeader', because, run: run('a') })
const killReplica = (because: Extract<Verdict, { kind: 'killReplica' }>['because'], name: Name = 'b'): Verdict => ({ kind: 'killReplica', because, run: run(name) })
const wakeFor = (because: Extract<Verdict, { kind: 'wakeLeader' }>['because'], member: Name): Verdict => ({ kind: 'wakeLeader', because, leader: 'a', member })
const hostLost: Verdict = { kind: 'hostLost', leader: 'a', others: ['b', 'c'] }

/** The host of `a` is gone: engine, Patroni and PostgreSQL silent, and the replicas hear nothing. */
const lost: Changes = {
  a: { container: engineSilent(2_500), patroni: silent(2_500), query: silent(2_500), connect: silent(2_500), said: { agoMs: 2_600 } },
  b: { said: { heardMs: 2_300 } },
  c: { said: { heardMs: 2_400 } },
}
const sync = (standbys: readonly string[], leader: string | null = 'a'): { value: string; modRevision: number; leader: string | null; standbys: string[] } =>
  ({ value: 'as it stands there', modRevision: 90, leader, standbys: [...standbys] })

const tables: Readonly<Record<string, readonly Row[]>> = {
  'a cluster that is well': [
    ['nothing is done', {}, nothing],
    ['nor when nobody was asked yet', { a: { patroni: never, query: never, connect: never, said: null } }, nothing],
    ['nor in quorum mode', { keys: { mode: 'quorum' } }, nothing],
    ['nor when etcd cannot be read while everybody is well', { keys: { known: false } }, nothing],
  ],
  'a leader that the engine says does not run': [
    ['exited: its key goes', { a: { container: container('exited', 20), patroni: refuses(10), query: refuses(10) } }, release('exited')],
    ['dead: its key goes', { a: { container: container('dead', 20) } }, release('dead')],
    ['gone: its key goes', { a: { container: container('gone', 20) } }, release('gone')],
    ['whatever the mode', { keys: { mode: 'quorum' }, a: { container: container('exited', 20) } }, release('exited')],
    ['with replicas that cannot be asked: Patroni elects, and knows more', { a: { container: container('exited', 20) }, b: { patroni: silent(5_000), query: silent(5_000) } }, release('exited')],
    ['by a guard that slept: proof does not age', { guard: { lateMs: 900, awakeMs: 0 }, a: { container: container('exited', 20) } }, release('exited')],
    ['it had not answered for long: no matter', { a: { container: container('exited', 20), patroni: silent(4_000) } }, release('exited')],
    ['an answer that crossed its death does not count', { a: { container: container('exited', 300), query: answers(10) } }, release('exited')],
    ['somebody answers long after its death: not this container', { a: { container: container('exited', 2_000), query: answers(100) } }, wait('SomebodyAnswers', 'a')],
    ['created, never started: cannot have led', { a: { container: container('created', 2_000) } }, wait('NotLongEnough', 'a')],
    ['being restarted', { a: { container: container('restarting', 2_000) } }, wait('NotLongEnough', 'a')],
    ['being removed: gone is what counts', { a: { container: container('removing', 2_000) } }, wait('NotLongEnough', 'a')],
    ['/sync names nobody', { keys: { sync: sync([]) }, a: { container: container('exited', 20) } }, wait('NobodyMayWin', 'a')],
    ['/sync is not there', { keys: { sync: null }, a: { container: container('exited', 20) } }, wait('NobodyMayWin', 'a')],
    ['/sync is empty and names no leader', { keys: { sync: sync([], null) }, a: { container: container('exited', 20) } }, wait('NobodyMayWin', 'a')],
    ['it died as it took over: /sync still names the former leader', { keys: { sync: sync(['a', 'c'], 'b') }, a: { container: container('exited', 20) } }, {
      kind: 'releaseLeader', proof: { ...run('a'), state: 'exited' },
      keys: { leader: 'a', leaderModRevision: 100, syncValue: 'as it stands there', syncModRevision: 90 },
    }],
    ['the key is another member\'s by now', { keys: { leader: { name: 'b', modRevision: 101, leaseSeconds: 19, grantedSeconds: 20 } }, a: { container: container('exited', 9_000) } }, nothing],
  ],
  'who leads is not known': [
    ['etcd does not answer', { keys: { known: false }, a: { container: container('exited', 20) } }, wait('EtcdUnknown')],
    ['etcd answered too long ago', { keys: { agoMs: 2_500 }, a: { container: container('exited', 20) } }, wait('EtcdUnknown')],
    ['nobody leads: an election is under way', { keys: { leader: null }, a: { container: container('exited', 20) } }, wait('NoLeader')],
    ['a stranger leads', { keys: { leader: { name: 'x', modRevision: 1, leaseSeconds: 19, grantedSeconds: 20 } } }, { kind: 'wait', reason: 'LeaderNotOurs', member: 'x' }],
    ['paused for a move: it is stopped on purpose', { keys: { paused: true, moving: true }, a: { container: container('exited', 20) } }, nothing],
    ['maintenance mode: an operator has the say', { keys: { paused: true }, a: { container: container('exited', 20) } }, wait('ClusterPaused')],
  ],
  'a leader that is paused': [
    ['for a moment', { a: { container: container('paused', 300) } }, wait('NotLongEnough', 'a')],
    ['for longer', { a: { container: container('paused', 600), patroni: silent(600), query: silent(600) } }, killLeader('Paused')],
    ['with nobody fit to take over', { a: { container: container('paused', 600) }, b: { patroni: silent(600) }, c: { container: container('paused', 600, 'c') } }, wait('NobodyFitToTakeOver', 'a')],
    ['by a guard that slept', { guard: { lateMs: 400 }, a: { container: container('paused', 600) } }, wait('GuardUnwell', 'a')],
    ['by a guard that slept a moment ago', { guard: { awakeMs: 500 }, a: { container: container('paused', 600) } }, wait('GuardUnwell', 'a')],
  ],
  'a leader that runs and does not answer': [
    ['not for long', { a: { patroni: silent(1_200), query: silent(1_200) } }, wait('NotLongEnough', 'a')],
    ['for long enough, but asked too seldom', { a: { patroni: silent(1_600, 2), query: silent(1_600, 5) } }, wait('NotLongEnough', 'a')],
    ['for long enough: it is killed first', { a: { patroni: silent(1_600), query: silent(1_600) } }, killLeader('Unresponsive')],
    ['a replica that is not synchronous could not take over', { keys: { sync: sync(['b']) }, a: { patroni: silent(1_600), query: silent(1_600) }, b: { query: silent(400) } }, wait('NobodyFitToTakeOver', 'a')],
    ['nor one that says it is no replica', { keys: { sync: sync(['b']) }, a: { patroni: silent(1_600), query: silent(1_600) }, b: { said: { inRecovery: false } } }, wait('NobodyFitToTakeOver', 'a')],
    ['nor one that last said so too long ago', { keys: { sync: sync(['b']) }, a: { patroni: silent(1_600), query: silent(1_600) }, b: { said: { agoMs: 3_000 } } }, wait('NobodyFitToTakeOver', 'a')],
  ],
  'a leader whose Patroni hangs while PostgreSQL serves': [
    ['its lease is renewed', { a: { patroni: silent(4_000) } }, wait('NotLongEnough', 'a')],
    ['its lease was not looked at', { keys: { leader: { name: 'a', modRevision: 100, leaseSeconds: null, grantedSeconds: null } }, a: { patroni: silent(4_000) } }, wait('NotLongEnough', 'a')],
    ['its lease is two seconds old', { keys: { leader: { name: 'a', modRevision: 100, leaseSeconds: 18, grantedSeconds: 20 } }, a: { patroni: silent(1_500) } }, wait('NotLongEnough', 'a')],
    ['its lease is overdue', { keys: { leader: { name: 'a', modRevision: 100, leaseSeconds: 17, grantedSeconds: 20 } }, a: { patroni: silent(1_500) } }, killLeader('PatroniFrozen')],
    ['an overdue lease alone is no reason', { keys: { leader: { name: 'a', modRevision: 100, leaseSeconds: 12, grantedSeconds: 20 } } }, nothing],
    ['its process is gone, and nobody brought it back', { keys: { leader: { name: 'a', modRevision: 100, leaseSeconds: 17, grantedSeconds: 20 } }, a: { patroni: refuses(1_500) } }, killLeader('PatroniGone')],
    ['its process was gone before it was started again', { keys: { leader: { name: 'a', modRevision: 100, leaseSeconds: 9, grantedSeconds: 20 } }, a: { container: container('running', 600), patroni: refuses(9_000) } }, wait('NotLongEnough', 'a')],
    ['its process is gone, and the lease still young', { a: { patroni: refuses(900) } }, wait('NotLongEnough', 'a')],
  ],
  'a leader whose PostgreSQL hangs or is gone while Patroni lives': [
    ['nobody listens: Patroni fails over, and is woken to do so', { a: { query: refuses(20) } }, wakeFor('PostgresRefuses', 'a')],
    ['for long: Patroni has its reasons', { a: { query: refuses(4_000) } }, nothing],
    ['queries hang: the session may be at fault', { a: { query: silent(6_000) } }, wait('NotLongEnough', 'a')],
    ['new connections hang', { a: { connect: silent(5_000) } }, wait('NotLongEnough', 'a')],
    ['new connections hang for long', { a: { connect: silent(9_000, 8) } }, killLeader('PostgresHung')],
  ],
  'a replica that died': [
    ['the leader need not find out by itself', { b: { container: container('exited', 10, 'b'), patroni: refuses(5), query: refuses(5) } }, wakeFor('ReplicaDied', 'b')],
    ['removed with its container', { b: { container: container('gone', 10, 'b') } }, wakeFor('ReplicaDied', 'b')],
    ['out of /sync already', { keys: { sync: sync(['c']) }, b: { container: container('exited', 10, 'b') } }, nothing],
    ['long ago: it does not help', { b: { container: container('exited', 5_000, 'b') } }, nothing],
    ['with a leader that cannot be asked', { a: { patroni: silent(700) }, b: { container: container('exited', 10, 'b') } }, wait('NotLongEnough', 'a')],
  ],
  'a replica that hangs': [
    ['paused for a moment', { b: { container: container('paused', 300, 'b') } }, nothing],
    ['paused, and commits wait for it', { b: { container: container('paused', 600, 'b') } }, killReplica('Paused')],
    ['paused, in quorum mode', { keys: { mode: 'quorum' }, b: { container: container('paused', 600, 'b') } }, nothing],
    ['paused for long, in quorum mode', { keys: { mode: 'quorum' }, b: { container: container('paused', 5_100, 'b') } }, killReplica('Paused')],
    ['paused, not synchronous', { keys: { sync: sync(['c']) }, b: { container: container('paused', 600, 'b') } }, nothing],
    ['silent, and the leader does not hear it either', { a: { said: { repliesMs: { b: 2_000, c: 100 } } }, b: { patroni: silent(1_300), query: silent(1_300) } }, killReplica('Unresponsive')],
    ['silent, and the leader has lost it', { a: { said: { repliesMs: { c: 100 } } }, b: { patroni: silent(1_300), query: silent(1_300) } }, killReplica('Unresponsive')],
    ['silent, but the leader hears it: it is us', { b: { patroni: silent(4_000), query: silent(4_000) } }, nothing],
    ['its Patroni alone, for a while', { b: { patroni: silent(10_000) } }, nothing],
    ['its Patroni alone, until its lease is nearly over', { b: { patroni: silent(15_500) } }, killReplica('PatroniFrozen')],
    ['its Patroni has not answered since before it was started again', { b: { container: container('running', 900, 'b'), patroni: refuses(15_500), query: refuses(15_500) } }, nothing],
    ['it was silent before it was started again', { a: { said: { repliesMs: { c: 100 } } }, b: { container: container('running', 900, 'b'), patroni: silent(9_000), query: silent(9_000) } }, nothing],
    ['its Patroni is gone', { c: { patroni: refuses(15_500) } }, killReplica('PatroniGone', 'c')],
    ['by a guard that slept', { guard: { lateMs: 400 }, b: { container: container('paused', 600, 'b') } }, wait('GuardUnwell', 'b')],
    ['the leader comes first', { a: { container: container('paused', 600) }, b: { container: container('paused', 600, 'b') } }, killLeader('Paused')],
    ['another died: the leader is woken first', { b: { container: container('paused', 600, 'b') }, c: { container: container('exited', 10, 'c') } }, wakeFor('ReplicaDied', 'c')],
    ['its host does not answer: nothing to kill there', { b: { container: engineSilent(5_000), patroni: silent(5_000), query: silent(5_000) } }, nothing],
  ],
  'a leader whose host does not answer': [
    ['nothing answers, nobody hears it: the procedure', lost, hostLost],
    ['replicas that follow nobody have not heard it either', { ...lost, b: { said: { heardMs: null } } }, hostLost],
    ['not for long enough', { ...lost, a: { container: engineSilent(700), patroni: silent(700), query: silent(700) } }, wait('NotLongEnough', 'a')],
    ['the engine alone', { a: { container: engineSilent(9_000) } }, wait('EngineUnknown', 'a')],
    ['a refusal is a sign of life', { ...lost, a: { ...lost.a, patroni: refuses(2_500) } }, wait('EngineUnknown', 'a')],
    ['asked by a guard that slept', { ...lost, guard: { awakeMs: 900 } }, wait('GuardUnwell', 'a')],
    ['a replica hears it: it is us', { ...lost, c: { said: { heardMs: 900 } } }, wait('ReplicasHearLeader', 'c')],
    ['a replica heard it two seconds ago', { ...lost, c: { said: { heardMs: 2_000 } } }, wait('ReplicasHearLeader', 'c')],
    ['what a replica said is too old', { ...lost, b: { said: { heardMs: 2_500, agoMs: 800 } } }, wait('SecondOpinionMissing', 'b')],
    ['a replica that commits wait for does not answer', { ...lost, b: { query: silent(400) } }, wait('SyncMemberUnreachable', 'b')],
    ['the engine of a replica that commits wait for does not answer', { ...lost, c: { container: engineSilent(900) } }, wait('SyncMemberUnreachable', 'c')],
    ['a replica that commits do not wait for does not answer: it may hear', { ...lost, keys: { sync: sync(['b']) }, c: { query: silent(400) } }, wait('SecondOpinionMissing', 'c')],
    ['one synchronous replica is enough', { ...lost, keys: { sync: sync(['b']) } }, hostLost],
    ['quorum mode: a replica that does not win could confirm after its vote', { ...lost, keys: { mode: 'quorum' } }, wait('QuorumModeHostLost', 'a')],
    ['neither mode', { ...lost, keys: { mode: 'other' } }, wait('NotStrict', 'a')],
    ['it has just taken over: /sync is not its own yet', { ...lost, keys: { sync: sync(['a', 'c'], 'b') } }, wait('SyncNotOfLeader', 'a')],
    ['/sync is not there', { ...lost, keys: { sync: null } }, wait('SyncNotOfLeader', 'a')],
    ['/sync names nobody: commits may have had one copy', { ...lost, keys: { sync: sync([]) } }, wait('NobodyMayWin', 'a')],
    ['maintenance mode', { ...lost, keys: { paused: true } }, wait('ClusterPaused')],
    ['etcd does not answer', { ...lost, keys: { known: false } }, wait('EtcdUnknown')],
  ],
}

for (const [subject, rows] of Object.entries(tables)) {
  suite(subject, () => {
    for (const [title, changes, verdict] of rows) {
      test(`${title} → ${verdict.kind}${verdict.kind === 'wait' ? ` ${verdict.reason}` : ''}`, () => {
        assert.deepEqual(judge(evidence(changes)), verdict)
      })
    }
  })
}

test('a verdict is drawn again from evidence that was stored as JSON', async () => {
  const { evidenceSchema } = await import('../../src/failover/evidence.ts')
  for (const [, changes, verdict] of Object.values(tables).flat()) {
    const stored: unknown = JSON.parse(JSON.stringify(evidence(changes)))
    assert.deepEqual(judge(evidenceSchema.parse(stored)), verdict)
  }
})
