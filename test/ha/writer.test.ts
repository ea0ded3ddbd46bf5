import assert from 'node:assert/strict'
import { test } from 'node:test'
import { longestGap } from '../harness/ha/writer.ts'

test('the gap is what lies between two acknowledgements around the event', () => {
  assert.equal(longestGap([0, 10, 20, 620, 630], 25, 640), 600)
})

test('an interruption before the event is not its own', () => {
  assert.equal(longestGap([0, 500, 510, 520], 505, 530), 0)
})

test('one that still lasts counts so far, also when nothing was ever acknowledged after the event', () => {
  assert.equal(longestGap([0, 10], 12, 900), 890)
  assert.equal(longestGap([], 12, 900), 0)
})

test('the longest of several counts, and pauses of the machine do not', () => {
  assert.equal(longestGap([0, 10, 310, 320, 920, 930], 15, 940), 600)
  assert.equal(longestGap([0, 10, 90, 100], 5, 110), 0)
})
