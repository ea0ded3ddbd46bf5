/** Backups, what is made from them, and credentials. */
import type { Command } from 'commander'
import { z } from 'zod'
import { answerOf } from '../../client/problem.ts'
import { apiCommand, group } from '../apiCommand.ts'
import type { Surroundings } from '../apiCommand.ts'
import { table } from '../terminal.ts'
import { describe } from './databases.ts'

const one = z.object({ databaseId: z.string() })

export function backupCommands(surroundings: Surroundings): Command {
  return group('backups', 'Backups of a database', [
    apiCommand(surroundings, {
      usage: 'list <databaseId>', about: 'Newest first', input: one,
      ask: async (client, { databaseId }) => {
        const answer = await answerOf(client.GET('/v1/databases/{id}/backups', { params: { path: { id: databaseId } } }))
        const rows = answer.items.map((backup) => [backup.id, backup.kind, backup.state, backup.trigger, backup.verifiedAt ?? backup.requestedAt, backup.repositoryBytes, backup.failure?.message])
        return { answer, text: table(['BACKUP', 'KIND', 'STATE', 'TRIGGER', 'AT', 'BYTES', 'FAILURE'], rows) }
      },
    }),
    apiCommand(surroundings, {
      usage: 'take <databaseId>', about: 'Take one now',
      options: [['--kind <kind>', 'full or incremental']],
      input: one.extend({ kind: z.enum(['full', 'incremental']).default('full') }),
      ask: async (client, { databaseId, kind }) => {
        const answer = await answerOf(client.POST('/v1/databases/{id}/backups', { params: { path: { id: databaseId } }, body: { kind } }))
        return { answer, text: `Backup ${answer.id} (${answer.kind}) is ${answer.state}.` }
      },
    }),
  ])
}

export function restoreCommand(surroundings: Surroundings): Command {
  return apiCommand(surroundings, {
    usage: 'restore <databaseId> <name>', about: 'A new database from a backup or a moment of this one',
    options: [['--backup <id>', 'from this backup; by default the newest'], ['--at <time>', 'as it was then, an ISO time'], ['--project <id>', 'in this project'],
      ['--topology <topology>', 'standalone, or ha: three members around the restored data'], ['--durability <durability>', 'of topology ha: strict or quorum']],
    input: one.extend({
      name: z.string(), backup: z.string().optional(), at: z.string().exactOptional(), project: z.string().optional(),
      topology: z.enum(['standalone', 'ha']).exactOptional(), durability: z.enum(['strict', 'quorum']).exactOptional(),
    }),
    ask: async (client, { databaseId, backup, project, ...rest }) => {
      const body = { ...rest, ...(backup === undefined ? {} : { backupId: backup }), ...(project === undefined ? {} : { projectId: project }) }
      const answer = await answerOf(client.POST('/v1/databases/{id}/restore', { params: { path: { id: databaseId } }, body }))
      return { answer, text: describe(answer) }
    },
  })
}

export function takeoverCommand(surroundings: Surroundings): Command {
  return apiCommand(surroundings, {
    usage: 'takeover <databaseId> <fromDatabaseId>', about: 'Exchange endpoints, so that clients of the other meet this one',
    input: one.extend({ fromDatabaseId: z.string() }),
    ask: async (client, { databaseId, fromDatabaseId }) => {
      const answer = await answerOf(client.POST('/v1/databases/{id}/operations', { params: { path: { id: databaseId } }, body: { kind: 'takeOverEndpoint', fromDatabaseId } }))
      return { answer, text: `Operation ${answer.id} is ${answer.phase}.` }
    },
  })
}

export function credentialCommands(surroundings: Surroundings): Command {
  return group('credentials', 'Roles that log in to a database', [
    apiCommand(surroundings, {
      usage: 'list <databaseId>', about: 'Roles, and when each was last seen', input: one,
      ask: async (client, { databaseId }) => {
        const answer = await answerOf(client.GET('/v1/databases/{id}/credentials', { params: { path: { id: databaseId } } }))
        return { answer, text: table(['ROLE', 'STATE', 'ENDS', 'LAST SEEN'], answer.items.map((each) => [each.roleName, each.state, each.endsAt, each.lastSeenAt])) }
      },
    }),
    apiCommand(surroundings, {
      usage: 'rotate <databaseId>', about: 'A new role and password; the old one ends after the overlap',
      options: [['--overlap-seconds <seconds>', 'how long the old one may still log in']],
      input: one.extend({ overlapSeconds: z.coerce.number().int().default(86_400) }),
      ask: async (client, { databaseId, overlapSeconds }) => {
        const answer = await answerOf(client.POST('/v1/databases/{id}/credentials/rotate', { params: { path: { id: databaseId } }, body: { overlapSeconds } }))
        return { answer, text: `User ${answer.credentials.user}, password ${answer.credentials.password}\nKeep the password: it is not shown again.` }
      },
    }),
  ])
}
