/** Databases: ask for one, look, change, delete. */
import type { Command } from 'commander'
import { z } from 'zod'
import { answerOf } from '../../client/problem.ts'
import type { Database } from '../../client/schema.ts'
import { apiCommand, group } from '../apiCommand.ts'
import type { ApiCommand, Surroundings } from '../apiCommand.ts'
import { table } from '../terminal.ts'

const tier = z.enum(['starter', 'standard', 'pro'])
const durability = z.enum(['strict', 'quorum'])
const one = z.object({ databaseId: z.string() })

export function databaseCommands(surroundings: Surroundings): Command {
  const change = <I extends typeof one>(spec: Omit<ApiCommand<I>, 'ask'>, body: (input: z.output<I>) => Change) =>
    apiCommand(surroundings, {
      ...spec,
      ask: async (client, input) => {
        const answer = await answerOf(client.PATCH('/v1/databases/{id}', { params: { path: { id: input.databaseId } }, body: body(input) }))
        return { answer, text: describe(answer) }
      },
    })
  return group('databases', 'Databases', [
    creation(surroundings),
    apiCommand(surroundings, {
      usage: 'get <databaseId>', about: 'One database: what is asked for and how it is', input: one,
      ask: async (client, { databaseId }) => {
        const answer = await answerOf(client.GET('/v1/databases/{id}', { params: { path: { id: databaseId } } }))
        return { answer, text: describe(answer) }
      },
    }),
    apiCommand(surroundings, {
      usage: 'list <projectId>', about: "A project's databases", input: z.object({ projectId: z.string() }),
      ask: async (client, { projectId }) => {
        const answer = await answerOf(client.GET('/v1/projects/{id}/databases', { params: { path: { id: projectId } } }))
        return { answer, text: table(['DATABASE', 'ID', 'TIER', 'READY', 'READ-WRITE URL'], answer.items.map((each) => [each.name, each.id, each.tier, readiness(each), each.urls?.rw])) }
      },
    }),
    removal(surroundings),
    change({ usage: 'set-tier <databaseId> <tier>', about: 'Another tier', input: one.extend({ tier }) }, (input) => ({ tier: input.tier })),
    change({ usage: 'set-durability <databaseId> <durability>', about: 'What a commit of a cluster waits for: strict or quorum', input: one.extend({ durability }) }, (input) => ({ durability: input.durability })),
    change({ usage: 'allow <databaseId> <ranges...>', about: 'The CIDR ranges that may connect from outside', input: one.extend({ ranges: z.array(z.string()) }) }, (input) => ({ allowList: input.ranges })),
    change({ usage: 'set-rollback-until <databaseId> <moment>', about: 'How long the way back after an upgrade or a rollback stays open; now or earlier ends it', input: one.extend({ moment: z.string() }) }, (input) => ({ rollbackUntil: input.moment })),
    change({ usage: 'pause <databaseId>', about: 'Observe and report only', input: one }, () => ({ paused: true })),
    change({ usage: 'resume <databaseId>', about: 'Act again', input: one }, () => ({ paused: false })),
  ])
}

interface Change {
  tier?: z.output<typeof tier>
  durability?: z.output<typeof durability>
  allowList?: string[]
  rollbackUntil?: string
  paused?: boolean
}

function creation(surroundings: Surroundings): Command {
  return apiCommand(surroundings, {
    usage: 'create <projectId> <name>', about: 'Ask for a database; the password is shown once',
    options: [
      ['--tier <tier>', 'starter, standard or pro'],
      ['--topology <topology>', 'standalone, or ha: three members that fail over by themselves'],
      ['--durability <durability>', 'of topology ha: strict or quorum'],
      ['--database-name <name>', 'its name inside PostgreSQL'],
      ['--storage-bytes <bytes>', "instead of the tier's"],
      ['--allow <ranges...>', 'CIDR ranges that may connect from outside'],
    ],
    input: z.object({
      projectId: z.string(), name: z.string(), tier: tier.default('starter'), databaseName: z.string().exactOptional(),
      topology: z.enum(['standalone', 'ha']).exactOptional(), durability: durability.exactOptional(),
      storageBytes: z.coerce.number().int().exactOptional(), allow: z.array(z.string()).optional(),
    }),
    ask: async (client, { projectId, allow, ...rest }) => {
      const body = { ...rest, ...(allow === undefined ? {} : { allowList: allow }) }
      const answer = await answerOf(client.POST('/v1/projects/{id}/databases', { params: { path: { id: projectId } }, body }))
      const { user, password } = answer.credentials
      return { answer, text: `${describe(answer)}\n\nUser ${user}, password ${password}\nKeep the password: it is not shown again.` }
    },
  })
}

function removal(surroundings: Surroundings): Command {
  return apiCommand(surroundings, {
    usage: 'delete <databaseId>', about: 'Delete it, after a last backup unless told otherwise',
    options: [
      ['--confirm-name <name>', 'its name, so that nothing is deleted by a slip'],
      ['--no-final-backup', 'take no last backup'],
      ['--keep-backups-days <days>', 'how long its backups are kept'],
    ],
    input: one.extend({ confirmName: z.string('is needed'), finalBackup: z.boolean().default(true), keepBackupsDays: z.coerce.number().int().exactOptional() }),
    ask: async (client, { databaseId, confirmName, finalBackup, keepBackupsDays }) => {
      const body = { confirmName, finalBackup, ...(keepBackupsDays === undefined ? {} : { keepBackupsDays }) }
      const answer = await answerOf(client.DELETE('/v1/databases/{id}', { params: { path: { id: databaseId } }, body }))
      return { answer, text: describe(answer) }
    },
  })
}

/** What people want to know first, then what is not as it should be. */
export function describe(database: Database): string {
  const { status, deletion } = database
  const lines = [
    `${database.name} (${database.id}): ${database.tier}, ${topologyOf(database)}, ready: ${readiness(database)}`,
    ...(database.rehearsalOf === null ? [] : [`a copy on which the upgrade of ${database.rehearsalOf} is rehearsed; it is removed when that is over`]),
    ...(database.urls === null ? [] : [`read-write  ${database.urls.rw}`, `read-only   ${database.urls.ro}`, `pooled      ${database.urls.pooled}`]),
    ...(status.operation === null || status.operation.finishedAt !== null ? [] : [`${status.operation.kind}: ${status.operation.phase}${status.operation.waitingFor === null ? '' : `, waiting for ${status.operation.waitingFor}`}`]),
    ...(status.rollback === null ? [] : [rollbackOf(status.rollback)]),
    ...(deletion === null ? [] : [`being deleted, still to do: ${deletion.remaining.join(', ') || 'nothing'}`]),
  ]
  const parts = [lines.join('\n'), ...(database.instances.length > 1 || database.topology === 'ha' ? [membersOf(database)] : [])]
  const conditions = table(['CONDITION', 'STATUS', 'REASON', 'MESSAGE'], status.conditions.map(({ type, status: is, reason, message }) => [type, is, reason, message]))
  return [...parts, ...(status.conditions.length === 0 ? [] : [conditions])].join('\n\n')
}

function rollbackOf({ until, ready, behindBytes }: NonNullable<Database['status']['rollback']>): string {
  const cost = ready ? `${behindBytes ?? 'some'} bytes behind; clients would wait about a second and lose nothing` : 'not ready now, see the condition RollbackReady'
  return `rollback    until ${until}: ${cost}`
}

function topologyOf({ topology, durability }: Database): string {
  return topology === 'ha' ? `highly available (${durability})` : 'one server'
}

function membersOf({ instances, status: { lastFailover } }: Database): string {
  const members = instances.flatMap((instance) => instance.members.map((member) => ({ ...member, instance: instance.role })))
  const rows = members.map(({ instance, name, host, role, patroniState, timeline, lagBytes, syncState }) => [instance, name, host, role, patroniState, timeline, lagBytes, syncState])
  return [table(['INSTANCE', 'MEMBER', 'HOST', 'ROLE', 'STATE', 'TIMELINE', 'LAG BYTES', 'SYNC'], rows), ...(lastFailover === null ? [] : [failedOver(lastFailover)])].join('\n')
}

function failedOver({ at, writeGapMs, eventSeq }: NonNullable<Database['status']['lastFailover']>): string {
  const gap = writeGapMs === null ? 'write gap not measured' : `writes stood still for ${writeGapMs} ms`
  return `last failover ${at}: ${gap}${eventSeq === null ? '' : ` (holdfast explain ${eventSeq})`}`
}

function readiness(database: Database): string {
  return database.status.conditions.find(({ type }) => type === 'Ready')?.status ?? 'unknown'
}
