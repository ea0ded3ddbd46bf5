/**
 * What a caller may reach. A platform token reaches everything, a team's token what belongs to its team. What belongs
 * to others answers exactly like what does not exist, down to the sentence: ids tell nothing.
 */
import { HoldfastError, isHoldfastError } from '../domain/errors.ts'
import type { Backup } from '../domain/desired.ts'
import type { Principal, Store } from '../store/store.ts'
import type { DatabaseView, OperationView, ProjectView, TeamView, TokenView } from '../store/views.ts'

export function reachesTeam(principal: Principal, teamId: string): boolean {
  return principal.teamId === null || principal.teamId === teamId
}

export function requirePlatform(principal: Principal): void {
  if (principal.teamId !== null) throw new HoldfastError('Forbidden', "This is for the platform's own tokens.", { next: 'Ask the operator of the platform.' })
}

export function requireAdmin(principal: Principal): void {
  if (principal.role !== 'admin') throw new HoldfastError('Forbidden', 'This needs a token with the role admin.', { next: "Ask an admin of the team, or use an admin's token." })
}

/** The team asked for, else the caller's own. A platform token has none of its own. */
export function teamAskedFor(principal: Principal, asked: string | undefined): string {
  const teamId = asked ?? principal.teamId
  if (teamId === null) {
    throw new HoldfastError('InvalidRequest', 'querystring.teamId: is needed with a platform token.', { next: 'Say which team.' })
  }
  if (!reachesTeam(principal, teamId)) throw missing('team', teamId)
  return teamId
}

export async function reachTeam(store: Store, principal: Principal, id: string): Promise<TeamView> {
  return reach(principal, 'team', id, () => store.teams.get(id), (team) => team.id)
}

export async function reachProject(store: Store, principal: Principal, id: string): Promise<ProjectView> {
  return reach(principal, 'project', id, () => store.projects.get(id), (project) => project.team.id)
}

export async function reachDatabase(store: Store, principal: Principal, id: string): Promise<DatabaseView> {
  return reach(principal, 'database', id, () => store.databases.view(id), (database) => database.team.id)
}

export async function reachBackup(store: Store, principal: Principal, id: string): Promise<Backup> {
  const owned = async () => {
    const backup = await store.backups.get(id)
    return { backup, teamId: (await store.databases.get(backup.databaseId)).teamId }
  }
  return (await reach(principal, 'backup', id, owned, ({ teamId }) => teamId)).backup
}

export async function reachOperation(store: Store, principal: Principal, id: string): Promise<OperationView> {
  const owned = async () => {
    const operation = await store.operations.get(id)
    return { operation, teamId: (await store.databases.get(operation.databaseId)).teamId }
  }
  return (await reach(principal, 'operation', id, owned, ({ teamId }) => teamId)).operation
}

/** A platform token reaches every token, a team's admin those of the team. */
export async function revokeToken(store: Store, principal: Principal, id: string, revoke: () => Promise<TokenView>): Promise<TokenView> {
  if (principal.teamId !== null) {
    const own = await store.tokens.list(principal.teamId)
    if (!own.some((token) => token.id === id)) throw missing('token', id)
  }
  return reach(principal, 'token', id, revoke, (token) => token.teamId ?? '')
}

type Noun = 'team' | 'project' | 'database' | 'backup' | 'operation' | 'token'

async function reach<T>(principal: Principal, noun: Noun, id: string, find: () => Promise<T>, teamOf: (found: T) => string): Promise<T> {
  const found = await find().catch((error: unknown) => {
    if (isHoldfastError(error) && error.code === 'NotFound') throw missing(noun, id)
    throw error
  })
  if (!reachesTeam(principal, teamOf(found))) throw missing(noun, id)
  return found
}

function missing(noun: Noun, id: string): HoldfastError {
  return new HoldfastError('NotFound', `There is no ${noun} ${id}.`, { next: `List the ${noun}s that this token reaches, and take an id from there.` })
}
