/** Teams and their projects. */
import type { z } from 'zod'
import { resourceNames } from '../../domain/names.ts'
import type { ProjectView } from '../../store/views.ts'
import { actorOf, principalOf } from '../authentication.ts'
import type { Api } from '../instance.ts'
import { reachProject, reachTeam, requireAdmin, requirePlatform } from '../reach.ts'
import { problems } from '../schemas/problem.ts'
import { haToggle, newProject, newTeam, project, team } from '../schemas/tenants.ts'
import { idParams, listOf } from '../schemas/words.ts'
import type { ApiParts } from '../settings.ts'

const tags = ['teams']

export function teamRoutes(app: Api, parts: ApiParts): void {
  const { store } = parts

  app.post('/v1/teams', { schema: { summary: 'Make a team', tags, body: newTeam, response: { 201: team, ...problems } } }, async (request, reply) => {
    requirePlatform(principalOf(request))
    return reply.code(201).send(await store.teams.create(request.body, actorOf(request)))
  })

  app.get('/v1/teams', { schema: { summary: 'The teams that this token reaches', tags, response: { 200: listOf(team), ...problems } } }, async (request) => {
    const { teamId } = principalOf(request)
    return { items: teamId === null ? [...(await store.teams.list())] : [await store.teams.get(teamId)] }
  })

  app.get('/v1/teams/:id', { schema: { summary: 'One team', tags, params: idParams, response: { 200: team, ...problems } } }, (request) =>
    reachTeam(store, principalOf(request), request.params.id))

  app.put('/v1/teams/:id/ha', {
    schema: { summary: 'Turn high availability (beta) on or off for a team; for admins', tags, params: idParams, body: haToggle, response: { 200: team, ...problems } },
  }, async (request) => {
    const principal = principalOf(request)
    const { id } = await reachTeam(store, principal, request.params.id)
    requireAdmin(principal)
    return store.teams.setHa(id, request.body.enabled, actorOf(request))
  })

  app.post('/v1/teams/:id/projects', {
    schema: { summary: 'Make a project', tags, params: idParams, body: newProject, response: { 201: project, ...problems } },
  }, async (request, reply) => {
    const { id: teamId } = await reachTeam(store, principalOf(request), request.params.id)
    const made = await store.projects.create({ teamId, ...request.body }, actorOf(request))
    return reply.code(201).send(await showProject(parts, made))
  })

  app.get('/v1/teams/:id/projects', {
    schema: { summary: "A team's projects", tags, params: idParams, response: { 200: listOf(project), ...problems } },
  }, async (request) => {
    const { id } = await reachTeam(store, principalOf(request), request.params.id)
    const projects = await store.projects.list(id)
    return { items: await Promise.all(projects.map((each) => showProject(parts, each))) }
  })

  app.get('/v1/projects/:id', {
    schema: { summary: 'One project, with its networks', tags, params: idParams, response: { 200: project, ...problems } },
  }, async (request) => showProject(parts, await reachProject(store, principalOf(request), request.params.id)))
}

async function showProject({ store, settings }: ApiParts, view: ProjectView): Promise<z.output<typeof project>> {
  const hosts = view.networks.length === 0 ? [] : await store.hosts.list()
  const network = resourceNames(settings.installation).network(view.id)
  const networks = view.networks.map(({ hostId, subnet }) => ({ host: hosts.find(({ id }) => id === hostId)?.name ?? hostId, network, subnet }))
  return { ...view, networks }
}
