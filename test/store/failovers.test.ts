/** Incidents are told by a guard that works without the control database: late, twice, in parts, and by several of them. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import type { FailoverRecord } from '../../src/domain/failover.ts'
import type { EventView } from '../../src/store/views.ts'
import { actor, startRig, withCode } from './rig.ts'

const rig = await startRig({ after })
const { store } = rig
await store.teams.setHa(rig.teamId, true, actor)

const line = (part: 'seen' | 'concluded' | 'done' | 'result', text: string) => ({ at: new Date(), part, text })

async function incidentOf(name: string, changed: Partial<FailoverRecord> = {}): Promise<FailoverRecord> {
  const { id: databaseId, instances } = await rig.create(name, { tier: 'standard', topology: 'ha' })
  return {
    id: randomUUID(), databaseId, instanceId: instances[0]?.id ?? '', at: new Date(), verdict: 'releaseLeader',
    evidence: { members: [{ name: 'm1', container: { known: true, state: 'exited' } }] }, outcome: null, story: [line('concluded', 'The leader m1 is dead.')],
    controller: 'controller-a', notes: { verdict: { severity: 'warning', reason: 'LeaderDied', message: 'The leader m1 is dead.' }, outcome: null }, ...changed,
  }
}

/** The same incident, once it is over. */
function ended(incident: FailoverRecord, writeGapMs: number | null, leaderChanged = true): FailoverRecord {
  return {
    ...incident,
    outcome: { at: new Date(), reason: 'LeaderChanged', leaderChanged, leaderId: randomUUID(), writeGapMs, facts: { proxiesTold: 2 } },
    story: [...incident.story, line('result', 'm2 leads.')],
    notes: { ...incident.notes, outcome: { severity: 'info', reason: 'LeaderChanged', message: 'm2 leads.', facts: { writeGapMs } } },
  }
}

async function eventsOf(databaseId: string): Promise<readonly EventView[]> {
  return (await store.events.list({ teamId: rig.teamId, databaseId })).filter(({ reason }) => reason !== 'DatabaseRequested')
}

test('a verdict is kept with its evidence, and told; its outcome is added, and told', async () => {
  const incident = await incidentOf('story')
  await store.failovers.record(incident)
  const [open] = await store.failovers.list(incident.databaseId)
  assert.deepEqual([open?.verdict, open?.evidence, open?.outcome, open?.story], ['releaseLeader', incident.evidence, null, incident.story])
  const whole = ended(incident, 612.5)
  await store.failovers.record(whole)
  const [closed] = await store.failovers.list(incident.databaseId)
  assert.deepEqual([closed?.outcome, closed?.story], [whole.outcome, whole.story])
  const events = await eventsOf(incident.databaseId)
  assert.deepEqual(events.map(({ reason, facts }) => [reason, facts['verdictId']]), [['LeaderDied', incident.id], ['LeaderChanged', incident.id]])
  assert.deepEqual([closed?.eventSeq, closed?.outcomeEventSeq], events.map(({ seq }) => seq))
  const { lastFailover } = await store.databases.view(incident.databaseId)
  assert.deepEqual(lastFailover, { at: incident.at, writeGapMs: 612.5, reason: 'LeaderChanged', eventSeq: events[1]?.seq })
})

test('told again, late or by several at once, it stays one incident with one event of each kind', async () => {
  const incident = await incidentOf('again')
  const whole = ended(incident, 500)
  await Promise.all([incident, whole, whole, incident, whole].map((one) => store.failovers.record(one)))
  await store.failovers.record(incident)
  await store.failovers.record({ ...ended(incident, 9), story: [] })
  const all = await store.failovers.list(incident.databaseId)
  assert.deepEqual(all.map(({ id, outcome }) => [id, outcome?.writeGapMs]), [[incident.id, 500]])
  assert.deepEqual((await eventsOf(incident.databaseId)).map(({ reason }) => reason).toSorted(), ['LeaderChanged', 'LeaderDied'])
})

test('an incident that comes whole after an outage is told in the right order', async () => {
  const incident = await incidentOf('late', { at: new Date(Date.now() - 3_600_000) })
  await store.failovers.record(ended(incident, null))
  assert.deepEqual((await eventsOf(incident.databaseId)).map(({ reason }) => reason), ['LeaderDied', 'LeaderChanged'])
  assert.deepEqual((await store.databases.view(incident.databaseId)).lastFailover?.writeGapMs, null)
})

test('what changed no leader is no failover, and the newest failover is shown', async () => {
  const incident = await incidentOf('newest')
  await store.failovers.record(ended(incident, null, false))
  assert.equal((await store.databases.view(incident.databaseId)).lastFailover, null)
  for (const [minutesAgo, gap] of [[5, 100], [1, 200], [9, 300]] as const) {
    await store.failovers.record(ended({ ...incident, id: randomUUID(), at: new Date(Date.now() - minutesAgo * 60_000) }, gap))
  }
  assert.equal((await store.databases.view(incident.databaseId)).lastFailover?.writeGapMs, 200)
  assert.equal((await store.failovers.list(incident.databaseId)).length, 4)
  assert.equal((await store.failovers.list(incident.databaseId, { limit: 1 })).length, 1)
})

test('a failover that only a pass noticed is shown too, and never instead of the same one as the guard told it', async () => {
  const incident = await incidentOf('noticed')
  const noticed = () => store.events.append(rig.teamId, { databaseId: incident.databaseId, severity: 'warning', reason: 'FailedOver', message: 'Member 1 was lost; member 2 leads.' })
  const { seq } = await noticed()
  assert.deepEqual((await store.databases.view(incident.databaseId)).lastFailover?.eventSeq, seq)
  await store.failovers.record(ended(incident, 450))
  const again = await noticed()
  assert.equal((await store.databases.view(incident.databaseId)).lastFailover?.writeGapMs, 450)
  assert.equal((await store.failovers.ofEvent(rig.teamId, again.seq))?.id, incident.id, 'the event belongs to the incident that brought it about')
})

test('an event leads to its incident, and to no other', async () => {
  const [one, other] = [await incidentOf('one'), await incidentOf('other')]
  for (const incident of [one, other]) await store.failovers.record(ended(incident, 1))
  const [verdict, outcome] = await eventsOf(one.databaseId)
  for (const event of [verdict, outcome]) assert.equal((await store.failovers.ofEvent(rig.teamId, event?.seq ?? 0))?.id, one.id)
  const [requested] = await store.events.list({ teamId: rig.teamId, databaseId: one.databaseId })
  assert.equal(await store.failovers.ofEvent(rig.teamId, requested?.seq ?? 0), null)
  const { id: strangers } = await store.teams.create({ name: 'strangers' }, actor)
  assert.equal(await store.failovers.ofEvent(strangers, verdict?.seq ?? 0), null)
})

test('what was concluded about a cluster within half a minute belongs together', async () => {
  const first = await incidentOf('together', { verdict: 'killLeader', at: new Date(Date.now() - 2_000) })
  const second = { ...first, id: randomUUID(), verdict: 'releaseLeader', at: new Date() }
  const yesterday = { ...first, id: randomUUID(), at: new Date(Date.now() - 86_400_000) }
  for (const incident of [second, first, yesterday, await incidentOf('not-mine')]) await store.failovers.record(incident)
  const [newest] = await store.failovers.list(first.databaseId)
  assert.ok(newest !== undefined)
  assert.deepEqual((await store.failovers.around(newest)).map(({ id }) => id), [first.id, second.id])
})

test('the story outlives the database, and nobody is told of it any more', async () => {
  const incident = { ...(await incidentOf('survivor')), databaseId: randomUUID() }
  const before = await rig.count('events')
  await store.failovers.record(ended(incident, 100))
  assert.equal((await store.failovers.list(incident.databaseId))[0]?.outcome?.writeGapMs, 100)
  assert.equal(await rig.count('events'), before)
})

test('a cluster that fails over all the time does not fill the control database', async () => {
  const incident = await incidentOf('flapping')
  await rig.pool.query(
    `insert into failover_verdicts (id, database_id, instance_id, at, verdict, evidence, controller)
     select gen_random_uuid(), $1, $2, now() - make_interval(secs => number), 'wait', '{}', 'c' from generate_series(1, 1200) number`,
    [incident.databaseId, incident.instanceId],
  )
  await store.failovers.record(incident)
  assert.equal(await rig.count('failover_verdicts', `database_id = '${incident.databaseId}'`), 1000)
  assert.equal((await store.failovers.list(incident.databaseId))[0]?.id, incident.id)
})

test('an event is found by its number, with what happened around it', async () => {
  const { id } = await rig.create('around', { tier: 'standard', topology: 'ha' })
  await rig.initialise(id)
  const operation = await store.databases.orderOfCluster(id, { kind: 'restart' }, actor)
  const events = await store.events.list({ teamId: rig.teamId, databaseId: id })
  const [requested, started] = events
  assert.ok(requested !== undefined && started !== undefined)
  assert.deepEqual(await store.events.get(rig.teamId, started.seq), started)
  assert.deepEqual((await store.events.around(started, rig.teamId)).map(({ operationId }) => operationId), [operation.id])
  assert.deepEqual((await store.events.around(requested, rig.teamId)).map(({ seq }) => seq), [requested.seq, started.seq])
  await assert.rejects(store.events.get(rig.teamId, 999_999), withCode('NotFound'))
})

test('snapshots of etcd are remembered by their key', async () => {
  const objectKey = 'etcd/one.sealed'
  const first = await store.etcdSnapshots.add({ objectKey, bytes: 10, verified: false })
  assert.equal(first.verifiedAt, null)
  const again = await store.etcdSnapshots.add({ objectKey, bytes: 12, verified: true })
  assert.deepEqual([again.id, again.bytes, again.verifiedAt instanceof Date], [first.id, 12, true])
  assert.deepEqual(await store.etcdSnapshots.list(), [again])
  await store.etcdSnapshots.remove(again.id)
  assert.deepEqual(await store.etcdSnapshots.list(), [])
})
