/** Incidents of clusters, and what an event was about. */
import { z } from 'zod'
import { event, operation } from './operations.ts'
import * as words from './words.ts'

const story = z
  .array(z.object({ at: words.time, part: z.enum(['seen', 'concluded', 'done', 'result']), text: z.string() }))
  .describe('What was seen, what was concluded from it, what was done, and what came of that, in order')

const writeGapMs = z.number().nullable().describe('How long no write was acknowledged; null where it was not measured')

export const failover = z
  .object({
    id: words.id,
    databaseId: words.id,
    instanceId: words.id,
    at: words.time.describe('When the verdict fell'),
    verdict: z.string(),
    story,
    evidence: z.unknown().describe('Everything that the verdict was drawn from'),
    outcome: z
      .object({
        at: words.time,
        reason: z.string(),
        leaderChanged: z.boolean(),
        leaderId: z.string().nullable().describe('The member that led afterwards'),
        writeGapMs,
        facts: z.record(z.string(), z.unknown()),
      })
      .nullable()
      .describe('null while it goes on'),
    controller: z.string().describe('Who watched'),
    eventSeq: words.count.nullable(),
    outcomeEventSeq: words.count.nullable(),
  })
  .meta({ id: 'Failover' })

export const explanation = z
  .object({
    event,
    story,
    writeGapMs,
    failover: failover.nullable().describe('The incident that the event is part of'),
    operation: operation.nullable().describe('The operation that the event is part of'),
  })
  .meta({ id: 'Explanation' })
