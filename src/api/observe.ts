/** One log line and one measurement for each finished request. Routes are counted by pattern, never by path. */
import type { Api } from './instance.ts'
import type { ApiParts } from './settings.ts'

export function observeRequests(app: Api, { metrics }: ApiParts): void {
  app.addHook('onResponse', async (request, reply) => {
    const route = request.is404 ? 'none' : (request.routeOptions.url ?? 'none')
    const ms = Math.round(reply.elapsedTime)
    metrics.apiRequestDuration.observe({ method: request.method, route, status: reply.statusCode }, reply.elapsedTime / 1000)
    request.log.info({ method: request.method, route, status: reply.statusCode, ms, tokenId: request.principal?.tokenId }, 'request answered')
  })
}
