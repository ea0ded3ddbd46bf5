/** Going on or going back: one key decides, and only one of them ever happens, in both directions. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { markOf, noPause, pauseFor, readDecision, standbyKey, writeDecision, type DecisionStore } from '../../src/executor/cutover/decision.ts'

const signal = new AbortController().signal
const scope = { scope: 's', user: 'u', password: undefined as never }

/** One key, as etcd has it: a revision that grows, and a put that compares it. `answers`: whether the next write's outcome is told. */
function keyOf(value: unknown, answers: boolean[] = []): DecisionStore & { value: () => unknown } {
  let [text, revision] = [value === null ? null : JSON.stringify(value), 7]
  return {
    get: () => Promise.resolve({ entry: text === null ? null : { key: 'config', value: text, modRevision: revision, createRevision: 1, lease: '0' }, revision } as never),
    txn: ({ when, then }) => {
      const held = when.every((one) => !('modRevision' in one) || one.modRevision === revision)
      const [put] = then
      if (held && put?.kind === 'put') [text, revision] = [put.value, revision + 1]
      if (answers.shift() === false) return Promise.reject(new Error('etcd did not answer in time'))
      return Promise.resolve((held ? { outcome: 'held', revision } : { outcome: 'refused', revision }) as never)
    },
    value: () => JSON.parse(text ?? 'null') as unknown,
  }
}

const read = (etcd: DecisionStore) => readDecision(etcd, 'test', scope, signal)
const write = (etcd: DecisionStore, decision: Awaited<ReturnType<typeof read>>, patch: Readonly<Record<string, unknown>>) => writeDecision(etcd, 'test', scope, decision, patch, signal)

for (const [way, configuration, on, followsThen] of [
  ['up', { ttl: 20, [standbyKey]: { host: 'a' } }, { [standbyKey]: null }, false],
  ['back', { ttl: 20 }, { [standbyKey]: { host: 'a' } }, true],
] as const) {
  test(`on the way ${way}, whoever read the same and comes second changes nothing`, async () => {
    for (const first of ['on', 'back'] as const) {
      const etcd = keyOf(configuration)
      const decision = await read(etcd)
      assert.equal(decision.follows, !followsThen)
      const patches = { on, back: { ...noPause, ...markOf(decision) } }
      assert.notEqual(await write(etcd, decision, patches[first]), null)
      assert.equal(await write(etcd, decision, patches[first === 'on' ? 'back' : 'on']), null)
      assert.equal((await read(etcd)).follows, first === 'on' ? followsThen : !followsThen)
    }
  })

  test(`on the way ${way}, what etcd did not tell is found by reading`, async () => {
    const etcd = keyOf(configuration, [false])
    const decision = await read(etcd)
    await assert.rejects(write(etcd, decision, on))
    assert.equal((await read(etcd)).follows, followsThen, 'it was written all the same')
    assert.equal(await write(etcd, decision, markOf(decision)), null, 'so there is no going back by what was read before')
  })
}

test('a pause is for one move, and is over when it went back; what else is configured stays', async () => {
  const etcd = keyOf({ ttl: 20, slots: { a: {} } })
  const paused = await write(etcd, await read(etcd), pauseFor('operation-1'))
  assert.ok(paused !== null)
  assert.deepEqual(etcd.value(), { ttl: 20, slots: { a: {} }, pause: true, holdfast_paused_for: 'operation-1' })
  await write(etcd, paused, { ...noPause, ...markOf(paused) })
  assert.deepEqual(etcd.value(), { ttl: 20, slots: { a: {} }, holdfast_went_back: paused.modRevision })
})

test('a cluster without a configuration can be told nothing', async () => {
  await assert.rejects(read(keyOf(null)), /no configuration/)
})
