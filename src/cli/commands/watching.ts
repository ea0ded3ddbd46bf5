/** What happened, waiting for a database, and the certificates to trust. */
import { writeFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { z } from 'zod'
import { answerOf } from '../../client/problem.ts'
import { apiCommand } from '../apiCommand.ts'
import type { Surroundings } from '../apiCommand.ts'
import { table } from '../terminal.ts'
import { describe } from './databases.ts'

const count = z.coerce.number().int()

export function eventsCommand(surroundings: Surroundings): Command {
  return apiCommand(surroundings, {
    usage: 'events', about: 'What happened, in order',
    options: [['--team <id>', 'of this team'], ['--database <id>', 'of this database only'], ['--after <seq>', 'only newer ones'], ['--limit <count>', 'at most so many']],
    input: z.object({ team: z.string().optional(), database: z.string().optional(), after: count.exactOptional(), limit: count.exactOptional() }),
    ask: async (client, { team, database, ...rest }) => {
      const query = { ...rest, ...(team === undefined ? {} : { teamId: team }), ...(database === undefined ? {} : { databaseId: database }) }
      const answer = await answerOf(client.GET('/v1/events', { params: { query } }))
      return { answer, text: table(['SEQ', 'AT', 'SEVERITY', 'REASON', 'MESSAGE'], answer.items.map(({ seq, at, severity, reason, message }) => [seq, at, severity, reason, message])) }
    },
  })
}

export function reconcileCommand(surroundings: Surroundings): Command {
  return apiCommand(surroundings, {
    usage: 'reconcile <databaseId>', about: 'Have the controller look at a database now',
    options: [['--wait', 'until it has settled'], ['--timeout-ms <ms>', 'wait at most so long']],
    input: z.object({ databaseId: z.string(), wait: z.boolean().default(false), timeoutMs: count.default(30_000) }),
    ask: async (client, { databaseId, ...body }) => {
      const answer = await answerOf(client.POST('/v1/databases/{id}/reconcile', { params: { path: { id: databaseId } }, body }))
      const outcome = answer.settled ? `Settled after ${answer.waitedMs} ms.` : body.wait ? `Not settled after ${answer.waitedMs} ms.` : 'Woken.'
      return { answer, text: `${outcome}\n${describe(answer.database)}` }
    },
  })
}

export function caCommand(surroundings: Surroundings): Command {
  return apiCommand(surroundings, {
    usage: 'ca', about: 'The certificates to verify endpoints with (sslrootcert)',
    options: [['--output <file>', 'write them there']],
    input: z.object({ output: z.string().optional() }),
    ask: async (client, { output }) => {
      const pem = await answerOf(client.GET('/v1/ca.pem', { parseAs: 'text' }))
      if (output === undefined) return { answer: { pem }, text: pem }
      await writeFile(output, pem)
      return { answer: { pem, file: output }, text: `Written to ${output}. Use it as sslrootcert with sslmode=verify-full.` }
    },
  })
}
