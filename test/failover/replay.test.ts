/**
 * Incidents of real clusters, judged again: a changed verdict shows here what it would have made of them. `incidents.json` is what
 * `select verdict, evidence from failover_verdicts` gave after runs of the bench, a few of each kind; add to it what surprised you.
 */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { z } from 'zod'
import { evidenceSchema } from '../../src/failover/evidence.ts'
import { judge } from '../../src/failover/verdict.ts'

const incidentsSchema = z.array(z.object({ verdict: z.string(), evidence: evidenceSchema }))
const incidents = incidentsSchema.parse(JSON.parse(await readFile(new URL('incidents.json', import.meta.url), 'utf8')))

test('every recorded incident is judged as it was', () => {
  assert.deepEqual(incidents.map(({ evidence }) => judge(evidence).kind), incidents.map(({ verdict }) => verdict))
})

test('the recorded incidents are of every kind that one engine can show', () => {
  const kinds = new Set(incidents.map(({ verdict }) => verdict))
  for (const kind of ['releaseLeader', 'killLeader', 'killReplica', 'wakeLeader']) assert.ok(kinds.has(kind), kind)
})
