import assert from 'node:assert/strict'
import { test } from 'node:test'
import { claim, mergeConditions, type Condition } from '../../src/domain/conditions.ts'

const [earlier, now] = [new Date('2026-01-01T00:00:00Z'), new Date('2026-01-02T00:00:00Z')]
const ready: Condition = { ...claim('Ready', 'true', 'Serving', 'It serves.'), changedAt: earlier }

test('the time of a change moves with the status', () => {
  const [condition] = mergeConditions([ready], [claim('Ready', 'false', 'NoPrimary', 'It is down.')], now)
  assert.deepEqual(condition, { type: 'Ready', status: 'false', reason: 'NoPrimary', message: 'It is down.', changedAt: now })
})

test('another reason or sentence does not move it', () => {
  const [condition] = mergeConditions([ready], [claim('Ready', 'true', 'ServingReadOnly', 'It serves reads.')], now)
  assert.deepEqual([condition?.reason, condition?.changedAt], ['ServingReadOnly', earlier])
})

test('unknown is a status of its own', () => {
  assert.equal(mergeConditions([ready], [claim('Ready', 'unknown', 'HostNotSeen', 'Nobody could look.')], now)[0]?.changedAt, now)
})

test('what is claimed for the first time begins now, what is claimed no longer goes', () => {
  const merged = mergeConditions([ready], [claim('Paused', 'false', 'Running', 'It is not paused.')], now)
  assert.deepEqual(merged.map(({ type, changedAt }) => [type, changedAt]), [['Paused', now]])
})
