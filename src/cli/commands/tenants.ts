/** Teams, projects and tokens. */
import type { Command } from 'commander'
import { z } from 'zod'
import { answerOf } from '../../client/problem.ts'
import { apiCommand, group } from '../apiCommand.ts'
import type { Surroundings } from '../apiCommand.ts'
import { table } from '../terminal.ts'

export function teamCommands(surroundings: Surroundings): Command {
  return group('teams', 'Teams', [
    apiCommand(surroundings, {
      usage: 'create <name>', about: 'Make a team',
      input: z.object({ name: z.string() }),
      ask: async (client, body) => {
        const team = await answerOf(client.POST('/v1/teams', { body }))
        return { answer: team, text: `Team ${team.name} has the id ${team.id}.` }
      },
    }),
    apiCommand(surroundings, {
      usage: 'list', about: 'The teams that the token reaches',
      input: z.object({}),
      ask: async (client) => {
        const answer = await answerOf(client.GET('/v1/teams'))
        return { answer, text: table(['TEAM', 'ID', 'CREATED'], answer.items.map(({ name, id, createdAt }) => [name, id, createdAt])) }
      },
    }),
  ])
}

export function projectCommands(surroundings: Surroundings): Command {
  return group('projects', 'Projects of a team', [
    apiCommand(surroundings, {
      usage: 'create <teamId> <name>', about: 'Make a project',
      input: z.object({ teamId: z.string(), name: z.string() }),
      ask: async (client, { teamId, name }) => {
        const project = await answerOf(client.POST('/v1/teams/{id}/projects', { params: { path: { id: teamId } }, body: { name } }))
        return { answer: project, text: `Project ${project.name} has the id ${project.id}.` }
      },
    }),
    apiCommand(surroundings, {
      usage: 'list <teamId>', about: "A team's projects",
      input: z.object({ teamId: z.string() }),
      ask: async (client, { teamId }) => {
        const answer = await answerOf(client.GET('/v1/teams/{id}/projects', { params: { path: { id: teamId } } }))
        const networks = (project: (typeof answer.items)[number]): string => project.networks.map(({ host, network }) => `${host}/${network}`).join(' ')
        return { answer, text: table(['PROJECT', 'ID', 'NETWORKS'], answer.items.map((project) => [project.name, project.id, networks(project)])) }
      },
    }),
  ])
}

export function tokenCommands(surroundings: Surroundings): Command {
  return group('tokens', 'Tokens of the API', [
    apiCommand(surroundings, {
      usage: 'create <name>', about: 'Make a token; it is shown once',
      options: [['--team <id>', 'for this team; by default for that of the calling token'], ['--role <role>', 'admin or member'], ['--expires-at <time>', 'ISO time']],
      input: z.object({ name: z.string(), team: z.string().optional(), role: z.enum(['admin', 'member']).default('member'), expiresAt: z.string().optional() }),
      ask: async (client, { name, team, role, expiresAt }) => {
        const body = { name, role, ...(team === undefined ? {} : { teamId: team }), ...(expiresAt === undefined ? {} : { expiresAt }) }
        const answer = await answerOf(client.POST('/v1/tokens', { body }))
        return { answer, text: `${answer.token}\nKeep it: it is not shown again. Its id is ${answer.id}.` }
      },
    }),
    apiCommand(surroundings, {
      usage: 'list', about: 'Tokens, without the tokens themselves',
      options: [['--team <id>', 'of this team']],
      input: z.object({ team: z.string().optional() }),
      ask: async (client, { team }) => {
        const answer = await answerOf(client.GET('/v1/tokens', { params: { query: team === undefined ? {} : { teamId: team } } }))
        const rows = answer.items.map((token) => [token.name, token.id, token.role, token.revokedAt === null ? token.expiresAt : `revoked ${token.revokedAt}`, token.lastUsedAt])
        return { answer, text: table(['TOKEN', 'ID', 'ROLE', 'ENDS', 'LAST USED'], rows) }
      },
    }),
    apiCommand(surroundings, {
      usage: 'revoke <tokenId>', about: 'Revoke a token, from now on',
      input: z.object({ tokenId: z.string() }),
      ask: async (client, { tokenId }) => {
        const answer = await answerOf(client.DELETE('/v1/tokens/{id}', { params: { path: { id: tokenId } } }))
        return { answer, text: `Token ${answer.name} is revoked.` }
      },
    }),
  ])
}
