/** What an incident was: told in sentences, from what the controller wrote down when it happened. */
import type { Command } from 'commander'
import { z } from 'zod'
import { answerOf } from '../../client/problem.ts'
import type { Explanation } from '../../client/schema.ts'
import { apiCommand } from '../apiCommand.ts'
import type { Surroundings } from '../apiCommand.ts'
import { table } from '../terminal.ts'

export function explainCommand(surroundings: Surroundings): Command {
  return apiCommand(surroundings, {
    usage: 'explain <event>', about: 'What an event was about: what was seen, concluded and done, and what came of it',
    options: [['--team <id>', 'whose event it is; by default the team of the token']],
    input: z.object({ event: z.coerce.number().int().min(1), team: z.string().optional() }),
    ask: async (client, { event: seq, team }) => {
      const query = team === undefined ? {} : { teamId: team }
      const answer = await answerOf(client.GET('/v1/events/{seq}/explanation', { params: { path: { seq }, query } }))
      return { answer, text: tell(answer) }
    },
  })
}

export function failoversCommand(surroundings: Surroundings): Command {
  return apiCommand(surroundings, {
    usage: 'failovers <databaseId>', about: "What the failover guard concluded about a database's cluster, newest first",
    options: [['--limit <count>', 'at most so many']],
    input: z.object({ databaseId: z.string(), limit: z.coerce.number().int().exactOptional() }),
    ask: async (client, { databaseId, ...query }) => {
      const answer = await answerOf(client.GET('/v1/databases/{id}/failovers', { params: { path: { id: databaseId }, query } }))
      const rows = answer.items.map(({ at, verdict, outcome, eventSeq }) => [at, verdict, outcome?.reason, outcome?.writeGapMs, eventSeq])
      return { answer, text: table(['AT', 'VERDICT', 'OUTCOME', 'WRITE GAP MS', 'EVENT'], rows) }
    },
  })
}

const headings = { seen: 'What was seen', concluded: 'What was concluded', done: 'What was done', result: 'What came of it' } as const
type Line = Explanation['story'][number]

/** The story keeps its order; a heading stands wherever its part begins. */
function tell({ event, story, operation }: Explanation): string {
  const began = Math.min(...story.map(({ at }) => Date.parse(at)))
  const lines = story.flatMap((line, index) => [
    ...(story[index - 1]?.part === line.part ? [] : ['', headings[line.part]]),
    `  ${sinceBeginning(line, began)}  ${line.text}`,
  ])
  const subject = operation === null ? [] : [`Of the operation ${operation.kind} (${operation.id}).`]
  return [`${event.at}  ${event.reason}: ${event.message}`, ...subject, ...lines].join('\n')
}

function sinceBeginning({ at }: Line, began: number): string {
  return `+${((Date.parse(at) - began) / 1000).toFixed(3)} s`.padStart(11)
}
