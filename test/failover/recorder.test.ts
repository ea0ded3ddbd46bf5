import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FailoverRecord } from '../../src/domain/failover.ts'
import { keepRecordings } from '../../src/failover/recorder.ts'
import { until, NotYet } from '../harness/waiting.ts'

const at = new Date('2026-01-01T00:00:00Z')

function incident(id: string, reason: string | null = null): FailoverRecord {
  return {
    id, databaseId: 'd', instanceId: 'i', at, verdict: 'releaseLeader', evidence: {}, story: [], controller: 'c',
    outcome: reason === null ? null : { at, reason, leaderChanged: true, leaderId: null, writeGapMs: null, facts: {} },
    notes: { verdict: { severity: 'warning', reason: 'LeaderDied', message: 'It died.' }, outcome: null },
  }
}

/** A control database that may be away. */
class Kept {
  isAway = false
  readonly told: [string, string | null][] = []
  readonly dropped: object[] = []

  readonly recordings = keepRecordings(
    {
      record: async ({ id, outcome }) => {
        if (this.isAway) throw new Error('connection refused')
        await Promise.resolve()
        this.told.push([id, outcome?.reason ?? null])
      },
    },
    { info: () => undefined, warn: () => undefined, error: (facts) => { this.dropped.push(facts) } },
  )

  untilWritten(): Promise<true> {
    return until('everything to be written', () => Promise.resolve(this.recordings.waiting === 0 ? true : new NotYet(String(this.recordings.waiting))), { limitMs: 10_000, everyMs: 10 })
  }
}

test('what is concluded is written at once, and its outcome after it', async () => {
  const kept = new Kept()
  kept.recordings.keep(incident('1'))
  await kept.untilWritten()
  kept.recordings.keep(incident('1', 'LeaderChanged'))
  await kept.untilWritten()
  assert.deepEqual(kept.told, [['1', null], ['1', 'LeaderChanged']])
})

test('while the control database is away nothing is lost, and only the latest telling of an incident is kept', async () => {
  const kept = new Kept()
  kept.isAway = true
  kept.recordings.keep(incident('1'))
  kept.recordings.keep(incident('2'))
  kept.recordings.keep(incident('1', 'LeaderChanged'))
  assert.equal(kept.recordings.waiting, 2)
  kept.isAway = false
  await kept.untilWritten()
  assert.deepEqual(kept.told.toSorted(), [['1', 'LeaderChanged'], ['2', null]])
})

test('an incident that is told anew while it is written is written again', async () => {
  const kept = new Kept()
  kept.recordings.keep(incident('1'))
  kept.recordings.keep(incident('1', 'LeaderChanged'))
  await kept.untilWritten()
  assert.deepEqual(kept.told.at(-1), ['1', 'LeaderChanged'])
})

test('after a long outage the newest five hundred are kept, and each dropped one is told', async () => {
  const kept = new Kept()
  kept.isAway = true
  for (let id = 1; id <= 502; id += 1) kept.recordings.keep(incident(String(id)))
  assert.deepEqual([kept.recordings.waiting, kept.dropped], [500, [{ verdictId: '1', kept: 500 }, { verdictId: '2', kept: 500 }]])
  kept.isAway = false
  await kept.recordings.close()
  assert.deepEqual([kept.told.length, kept.told[0]?.[0], kept.recordings.waiting], [500, '3', 0])
})
