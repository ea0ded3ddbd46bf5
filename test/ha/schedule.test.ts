import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exitCodeOf, reportOf, type Course } from '../chaos/report.ts'
import { allFaults, nextRound, type Round } from '../chaos/schedule.ts'
import { seededRandom } from '../faults/random.ts'

const rounds = (seed: string, count: number): Round[] => {
  const random = seededRandom(seed)
  return Array.from({ length: count }, () => nextRound(random))
}
const told = ({ first, second, holdMs, restMs }: Round): string => `${first.kind} ${second?.kind} ${second?.afterMs} ${holdMs} ${restMs}`

test('the same seed plays the same rounds, another one others', () => {
  assert.deepEqual(rounds('7', 50).map(told), rounds('7', 50).map(told))
  assert.notDeepEqual(rounds('7', 50).map(told), rounds('8', 50).map(told))
})

test('every fault has its turn, and a second one comes within ten seconds', () => {
  const many = rounds('1', 2_000)
  assert.deepEqual(new Set(many.map(({ first }) => first.kind)), new Set(allFaults.map(({ kind }) => kind)))
  const seconds = many.flatMap(({ first, second }) => (second === null ? [] : [{ first, second }]))
  assert.ok(seconds.length > 400 && seconds.length < 900)
  assert.ok(seconds.every(({ second }) => second.afterMs <= 10_000))
  assert.ok(seconds.every(({ first, second }) => first.kind !== second.kind))
  assert.ok(seconds.every(({ first, second }) => !(/VolumeRemoved/.test(first.kind) && /VolumeRemoved/.test(second.kind))))
})

test('no two faults have the same name', () => {
  assert.equal(new Set(allFaults.map(({ kind }) => kind)).size, allFaults.length)
})

const course: Course = {
  seed: 1, minutes: 1, faults: [], unhealed: [], leaks: [],
  findings: { acked: 10, warned: 0, lost: 0, doubleWriters: [], anomalies: [], errors: {}, steps: 5 },
}
const codeWith = (over: Partial<Course>, findings: Partial<Course['findings']> = {}): number =>
  exitCodeOf(reportOf({ ...course, ...over, findings: { ...course.findings, ...findings } }))

test('a run ends with 5 for lost data, whatever form it has, and with 1 for what was not healed or left behind', () => {
  assert.equal(codeWith({}), 0)
  assert.equal(codeWith({}, { lost: 1 }), 5)
  assert.equal(codeWith({ unhealed: ['x'] }, { doubleWriters: [{ members: ['a', 'b'], timelines: [1, 2], from: 1, to: 2 }] }), 5)
  assert.equal(codeWith({}, { anomalies: [{ kind: 'lostAppend', list: 1, value: 2 }] }), 5)
  assert.equal(codeWith({}, { anomalies: [{ kind: 'staleRead', list: 1, value: 2 }] }), 0)
  assert.equal(codeWith({ unhealed: ['x'] }), 1)
  assert.equal(codeWith({ leaks: ['x'] }), 1)
})
