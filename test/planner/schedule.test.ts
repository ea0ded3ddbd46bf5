/** Schedules: UTC whatever the machine's zone, to the millisecond, and each slot once. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Backup } from '../../src/domain/desired.ts'
import { dueBackup, latestDue, latestRun, nextDue } from '../../src/planner/schedule.ts'
import { newBackup, starter } from '../harness/worldStore.ts'

const schedule = { full: '0 2 * * 0', incremental: '0 2 * * 1-6' }
const desired = starter({ number: 1, name: 'shop', now: new Date(0) })
const long = new Date(0)

function taken(kind: Backup['kind'], at: Date): Backup {
  return newBackup(desired, { instanceId: 'i', backup: kind, trigger: 'scheduled' }, at, 'b')
}

describe('a schedule', () => {
  it('names a moment from that moment on, not a millisecond sooner', () => {
    const before = latestRun('0 2 * * *', new Date('2026-11-22T01:59:59.999Z'))
    const after = latestRun('0 2 * * *', new Date('2026-11-22T02:00:00.000Z'))
    assert.deepEqual([before, after], [new Date('2026-11-21T02:00:00Z'), new Date('2026-11-22T02:00:00Z')])
  })

  it('never names a moment of the future, and looks again at the next one', () => {
    const expressions = ['0 2 * * *', '*/7 * * * *', '0 */6 * * *', '30 1 1 * *', '15 2 29 2 *', '*/10 * * * * *']
    fc.assert(fc.property(fc.date({ min: new Date('2024-03-01'), max: new Date('2030-01-01'), noInvalidDate: true }), fc.constantFrom(...expressions), (now, expression) => {
      const latest = latestRun(expression, now)
      const next = nextDue({ full: expression, incremental: expression }, now)
      assert.ok(latest !== null && latest <= now)
      assert.ok(next !== null && next > now)
      assert.deepEqual(latestRun(expression, next), next)
      assert.deepEqual(latestRun(expression, new Date(next.getTime() - 1)), latest)
    }), { numRuns: 300, seed: 7 })
  })

  it('knows no summer time', () => {
    // in Europe the clocks jump at 01:00 UTC on these days
    for (const day of ['2026-03-29', '2026-10-25']) {
      assert.deepEqual(latestRun('0 2 * * *', new Date(`${day}T03:30:00Z`)), new Date(`${day}T02:00:00Z`))
    }
  })

  it('lets a full backup stand for the incremental one of the same moment, and not the other way round', () => {
    const both = { full: '0 2 * * 0', incremental: '0 2 * * *' }
    const sunday = new Date('2026-11-22T02:00:00Z')
    const later = new Date('2026-11-22T03:00:00Z')
    assert.equal(dueBackup(both, [], long, later), 'full')
    assert.equal(dueBackup(both, [taken('full', sunday)], long, later), null)
    assert.equal(dueBackup(both, [taken('incremental', sunday)], long, later), 'full')
  })

  it('asks for nothing from before the database began', () => {
    const now = new Date('2026-11-22T03:00:00Z')
    assert.equal(dueBackup(schedule, [], new Date('2026-11-22T02:30:00Z'), now), null)
    assert.equal(dueBackup(schedule, [], new Date('2026-11-22T01:30:00Z'), now), 'full')
  })

  it('is caught up with one backup, however long nobody looked', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 60 * 24 * 40 }), (minutes) => {
      const now = new Date(new Date('2026-11-18T12:00:00Z').getTime() + minutes * 60_000)
      const first = dueBackup(schedule, [taken('full', new Date('2026-11-18T12:00:00Z'))], long, now)
      if (first === null) return
      const caughtUp = [taken(first, now), taken('full', new Date('2026-11-18T12:00:00Z'))]
      assert.equal(dueBackup(schedule, caughtUp, long, now), null)
    }), { numRuns: 200, seed: 7 })
  })

  it('counts the later of both kinds as the latest that was due', () => {
    assert.deepEqual(latestDue(schedule, new Date('2026-11-22T05:00:00Z')), new Date('2026-11-22T02:00:00Z'), 'the full one of Sunday')
    assert.deepEqual(latestDue(schedule, new Date('2026-11-23T05:00:00Z')), new Date('2026-11-23T02:00:00Z'))
  })
})
