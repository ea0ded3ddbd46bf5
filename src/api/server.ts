/**
 * The HTTP API. A handler validates, writes what is asked for in one transaction, and wakes the loop; it never touches
 * an engine. Not listening yet: the caller decides where.
 */
import { limitRequests, requireTokens } from './authentication.ts'
import { bareInstance } from './instance.ts'
import type { Api } from './instance.ts'
import { observeRequests } from './observe.ts'
import { describeApi } from './openapi.ts'
import { backupRoutes } from './routes/backups.ts'
import { credentialRoutes } from './routes/credentials.ts'
import { databaseRoutes } from './routes/databases.ts'
import { healthRoutes } from './routes/health.ts'
import { historyRoutes } from './routes/history.ts'
import { installationRoutes } from './routes/installation.ts'
import { operationRoutes } from './routes/operations.ts'
import { teamRoutes } from './routes/teams.ts'
import { tokenRoutes } from './routes/tokens.ts'
import type { ApiParts } from './settings.ts'

const rooms = [
  healthRoutes, installationRoutes, teamRoutes, databaseRoutes, credentialRoutes, backupRoutes, operationRoutes, historyRoutes, tokenRoutes,
]

export async function createApi(parts: ApiParts): Promise<Api> {
  const app = await bareInstance(parts)
  requireTokens(app, parts)
  limitRequests(app)
  observeRequests(app, parts)
  await describeApi(app)
  for (const addRoutes of rooms) addRoutes(app, parts)
  await app.ready()
  return app
}
