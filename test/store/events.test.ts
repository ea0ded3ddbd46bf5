import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { actor, startRig, withCode } from './rig.ts'

const rig = await startRig({ after })
const { store } = rig
const note = (message: string) => ({ severity: 'info', reason: 'Tested', message }) as const

test('twenty writers at once leave no gap, and times follow the numbers', async () => {
  const { id: teamId } = await store.teams.create({ name: 'crowd' }, actor)
  const ids = await Promise.all(Array.from({ length: 20 }, async (_, writer) => {
    const seqs: number[] = []
    for (let event = 0; event < 5; event++) seqs.push((await store.events.append(teamId, note(`${String(writer)}/${String(event)}`))).seq)
    return seqs
  }))
  assert.deepEqual(ids.flat().toSorted((a, b) => a - b), Array.from({ length: 100 }, (_, index) => index + 1))
  const events = await store.events.list({ teamId })
  assert.deepEqual(events.map(({ seq }) => seq), Array.from({ length: 100 }, (_, index) => index + 1))
  for (const [index, event] of events.entries()) assert.ok(index === 0 || event.at >= (events[index - 1]?.at ?? event.at))
})

test('a transaction that fails takes no number with it', async () => {
  const { id: teamId } = await store.teams.create({ name: 'careful' }, actor)
  const { id: projectId } = await store.projects.create({ teamId, name: 'p1' }, actor)
  await rig.create('first', { projectId })
  await assert.rejects(rig.create('first', { projectId }), withCode('NameTaken'))
  await rig.create('second', { projectId })
  assert.deepEqual((await store.events.list({ teamId })).map(({ seq }) => seq), [1, 2])
})

test('a reader that goes on after the last number it saw misses nothing while writers write', async () => {
  const { id: teamId } = await store.teams.create({ name: 'reader' }, actor)
  const writing = Promise.all(Array.from({ length: 60 }, (_, index) => store.events.append(teamId, note(String(index)))))
  const seen: number[] = []
  for (let look = 0; look < 1000 && seen.length < 60; look++) {
    const batch = await store.events.list({ teamId, afterSeq: seen.at(-1) ?? 0, limit: 7 })
    seen.push(...batch.map(({ seq }) => seq))
  }
  await writing
  assert.deepEqual(seen, Array.from({ length: 60 }, (_, index) => index + 1))
})

test('events of one pass keep their order, and those of a database can be asked for alone', async () => {
  const { id } = await rig.create('told')
  const lease = await rig.lease(id)
  await store.records.apply(lease, ['one', 'two', 'three'].map((message) => ({ kind: 'event', note: { ...note(message), facts: { message } } })))
  const events = await store.events.list({ teamId: rig.teamId, databaseId: id })
  assert.deepEqual(events.map(({ message }) => message).slice(1), ['one', 'two', 'three'])
  assert.deepEqual(events[3]?.facts, { message: 'three' })
  assert.equal(events[3]?.databaseId, id)
})

test('an event needs a team', async () => {
  await assert.rejects(store.events.append(randomUUID(), note('lost')), withCode('NotFound'))
})

test('lists are bounded', async () => {
  const { id: teamId } = await store.teams.create({ name: 'bounded' }, actor)
  for (let index = 0; index < 3; index++) await store.events.append(teamId, note(String(index)))
  assert.equal((await store.events.list({ teamId, limit: 2 })).length, 2)
  assert.equal((await store.audit.list({ limit: 1 })).length, 1)
})
