import assert from 'node:assert/strict'
import { test } from 'node:test'
import { doubleWriters, type Commit } from '../harness/ha/twoWriters.ts'

const by = (memberId: string, timeline: number, ...starts: number[]): Commit[] => starts.map((startedAt) => ({ memberId, timeline, startedAt }))

test('one writer after the other is as it should be, also back and forth', () => {
  assert.deepEqual(doubleWriters([...by('a', 1, 1, 2, 3), ...by('b', 2, 4, 5), ...by('a', 3, 6, 7)]), [])
})

test('a former leader that acknowledges after the new one has begun is found, with when', () => {
  assert.deepEqual(doubleWriters([...by('a', 1, 1, 2, 5), ...by('b', 2, 4, 6)]), [{ members: ['a', 'b'], timelines: [1, 2], from: 4, to: 5 }])
})

test('one stray commit is enough, in whatever order they were noted', () => {
  assert.equal(doubleWriters([...by('b', 2, 10, 20), ...by('a', 1, 15)]).length, 1)
})

test('the same member on a new timeline is no second writer', () => {
  assert.deepEqual(doubleWriters([...by('a', 1, 1, 5), ...by('a', 2, 4, 9)]), [])
})

test('two members on the same timeline at once are found', () => {
  assert.equal(doubleWriters([...by('a', 1, 1, 5), ...by('b', 1, 2)]).length, 1)
})
