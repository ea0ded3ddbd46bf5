import assert from 'node:assert/strict'
import { test } from 'node:test'
import { anomaliesOf, type Step } from '../harness/ha/anomalies.ts'

let clock = 0
/** One after the other: each begins after the one before it has ended. */
const appended = (value: number, over: Partial<Extract<Step, { kind: 'append' }>> = {}): Step => ({ kind: 'append', list: 1, value, start: (clock += 1), end: (clock += 1), ...over })
const read = (...values: number[]): Step => ({ kind: 'read', list: 1, values, start: (clock += 1), end: (clock += 1) })
const kindsOf = (steps: readonly Step[], final: readonly number[]): string[] => anomaliesOf(steps, new Map([[1, final]])).map(({ kind }) => kind)

test('a history without faults has no anomalies', () => {
  assert.deepEqual(kindsOf([appended(1), read(1), appended(2), read(1, 2)], [1, 2]), [])
})

test('what was never answered may be there or not', () => {
  assert.deepEqual(kindsOf([appended(1), appended(2, { end: null }), appended(3)], [1, 3]), [])
  assert.deepEqual(kindsOf([appended(1), appended(2, { end: null }), appended(3)], [1, 2, 3]), [])
  assert.deepEqual(kindsOf([appended(1, { end: null }), appended(2)], [2, 1]), [], 'it may even happen much later')
})

test('an acknowledged append that is missing is lost', () => {
  assert.deepEqual(kindsOf([appended(1), appended(2)], [1]), ['lostAppend'])
  assert.deepEqual(anomaliesOf([appended(1)], new Map()).map(({ kind }) => kind), ['lostAppend'], 'also with its whole list')
})

test('what is there twice, and what nobody appended', () => {
  assert.deepEqual(kindsOf([appended(1)], [1, 1]), ['duplicate'])
  assert.deepEqual(kindsOf([appended(1)], [1, 9]), ['invented'])
})

test('what was acknowledged first has to stand first; what ran at the same time may stand either way', () => {
  assert.deepEqual(kindsOf([appended(1), appended(2)], [2, 1]), ['orderInversion'])
  const [one, two] = [appended(1, { start: 100, end: 110 }), appended(2, { start: 105, end: 115 })]
  assert.deepEqual(kindsOf([one, two], [2, 1]), [])
  const chain = [appended(1, { start: 200, end: 210 }), appended(2, { start: 205, end: 300 }), appended(3, { start: 220, end: 230 })]
  assert.deepEqual(kindsOf(chain, [3, 2, 1]), ['orderInversion'], 'also with another between them')
})

test('whatever was read is a beginning of the list', () => {
  assert.deepEqual(kindsOf([appended(1), read(1), appended(2)], [1, 2]), [])
  assert.deepEqual(kindsOf([appended(1), appended(2, { end: null }), read(1, 2)], [1]), ['strayRead'], 'read, and taken back')
})

test('a read lacks nothing that had been acknowledged before it', () => {
  assert.deepEqual(kindsOf([appended(1), appended(2), read(1)], [1, 2]), ['staleRead'])
})
