/** High availability: who may have it, and what can be asked of a cluster. */
import type { Command } from 'commander'
import { z } from 'zod'
import { answerOf } from '../../client/problem.ts'
import type { paths } from '../../client/schema.ts'
import { apiCommand } from '../apiCommand.ts'
import type { Surroundings } from '../apiCommand.ts'
import { describeOperation, ended, waitInput, waitOptions } from './operations.ts'

export function haCommand(surroundings: Surroundings): Command {
  return apiCommand(surroundings, {
    usage: 'ha <state>', about: 'Turn high availability (beta) on or off for a team; for admins',
    options: [['--team <id>', 'for this team']],
    input: z.object({ state: z.enum(['on', 'off']), team: z.string('is needed') }),
    ask: async (client, { state, team }) => {
      const answer = await answerOf(client.PUT('/v1/teams/{id}/ha', { params: { path: { id: team } }, body: { enabled: state === 'on' } }))
      const effect = answer.haEnabled ? 'may ask for highly available databases' : 'may ask for none any more; those it has stay as they are'
      return { answer, text: `Team ${answer.name} ${effect}.` }
    },
  })
}

const moveOptions = [
  ['--budget-ms <ms>', 'how long clients may wait, or cannot write, while they are moved; 5000 by default'],
  ['--window <kind>', 'what they meet meanwhile: hold (by default) lets all of them wait, readOnly lets reads go on and refuses writes'],
] as const
const moveInput = { budgetMs: z.coerce.number().int().exactOptional(), window: z.enum(['hold', 'readOnly']).exactOptional() }

interface Move {
  readonly budgetMs?: number
  readonly window?: 'hold' | 'readOnly'
}

function moveOf({ budgetMs, window }: Move): Move {
  return { ...(budgetMs !== undefined && { budgetMs }), ...(window !== undefined && { window }) }
}

export function clusterCommands(surroundings: Surroundings): readonly Command[] {
  return [
    ordered(surroundings, {
      usage: 'switchover <databaseId>', about: 'Have another member lead',
      options: [['--candidate <member>', 'name or id of the replica that is to lead; by default the best one']],
      input: z.object({ databaseId: z.string(), candidate: z.string().exactOptional(), ...waitInput }),
      order: ({ candidate }) => ({ kind: 'switchover', ...(candidate === undefined ? {} : { candidate }) }),
    }),
    ordered(surroundings, {
      usage: 'upgrade-to-ha <databaseId>', about: 'Make a cluster of one server, under its clients',
      options: [['--dry-run', 'only say what stands in its way'], ['--rehearse', 'on a copy restored from the newest backup, to say how long clients would wait'], ...moveOptions],
      input: z.object({ databaseId: z.string(), dryRun: z.boolean().default(false), rehearse: z.boolean().default(false), ...moveInput, ...waitInput }),
      order: ({ rehearse, ...input }) => ({ kind: 'upgradeToHa', ...(rehearse && { rehearse }), ...moveOf(input) }),
      query: ({ dryRun }) => ({ dryRun: dryRun ? 'true' : 'false' }),
    }),
    ordered(surroundings, {
      usage: 'rollback <databaseId>', about: 'Go back from the cluster to the server that it came from, without losing a row',
      options: [['--dry-run', 'only say what stands in its way'], ...moveOptions],
      input: z.object({ databaseId: z.string(), dryRun: z.boolean().default(false), ...moveInput, ...waitInput }),
      order: (input) => ({ kind: 'rollback', ...moveOf(input) }),
      query: ({ dryRun }) => ({ dryRun: dryRun ? 'true' : 'false' }),
    }),
    ordered(surroundings, {
      usage: 'downgrade <databaseId>', about: 'Take a cluster back to one server at any time; a new one is made where none follows',
      options: [['--dry-run', 'only say what stands in its way'], ...moveOptions],
      input: z.object({ databaseId: z.string(), dryRun: z.boolean().default(false), ...moveInput, ...waitInput }),
      order: (input) => ({ kind: 'downgrade', ...moveOf(input) }),
      query: ({ dryRun }) => ({ dryRun: dryRun ? 'true' : 'false' }),
    }),
    ordered(surroundings, {
      usage: 'restart <databaseId>', about: 'Restart a cluster member by member, the leader last',
      input: z.object({ databaseId: z.string(), ...waitInput }),
      order: () => ({ kind: 'restart' }),
    }),
    ordered(surroundings, {
      usage: 'reinitialise <databaseId> <member>', about: "Throw a replica's data away and copy them anew",
      input: z.object({ databaseId: z.string(), member: z.string(), ...waitInput }),
      order: ({ member }) => ({ kind: 'reinitialise', member }),
    }),
  ]
}

type NewOperation = paths['/v1/databases/{id}/operations']['post']['requestBody']['content']['application/json']
type Ordered = z.ZodType<{ readonly databaseId: string; readonly wait: boolean; readonly timeoutSeconds: number }>

interface OrderCommand<I extends Ordered> {
  readonly usage: string
  readonly about: string
  readonly options?: readonly (readonly [flag: string, about: string])[]
  readonly input: I
  readonly order: (input: z.output<I>) => NewOperation
  readonly query?: (input: z.output<I>) => { readonly dryRun: 'true' | 'false' }
}

function ordered<I extends Ordered>(surroundings: Surroundings, { order, query, options = [], ...spec }: OrderCommand<I>): Command {
  return apiCommand(surroundings, {
    ...spec,
    options: [...options, ...waitOptions],
    ask: async (client, input) => {
      const started = await answerOf(client.POST('/v1/databases/{id}/operations', { params: { path: { id: input.databaseId }, ...(query !== undefined && { query: query(input) }) }, body: order(input) }))
      const answer = await ended(client, started, input)
      return { answer, text: describeOperation(answer) }
    },
  })
}
