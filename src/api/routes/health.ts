/** For machines that watch this one: is the process alive, can it work, how much does it do. */
import { z } from 'zod'
import { principalOf } from '../authentication.ts'
import type { Api } from '../instance.ts'
import { requirePlatform } from '../reach.ts'
import { problems } from '../schemas/problem.ts'
import type { ApiParts } from '../settings.ts'

const readiness = z
  .object({ ready: z.boolean(), checks: z.array(z.object({ name: z.string(), ok: z.boolean(), message: z.string() })) })
  .meta({ id: 'Readiness' })

export function healthRoutes(app: Api, { metrics, readiness: check, settings }: ApiParts): void {
  app.get('/healthz', {
    config: { public: true },
    schema: { summary: 'The process is alive', tags: ['health'], response: { 200: z.object({ ok: z.literal(true) }) } },
  }, () => ({ ok: true as const }))

  app.get('/readyz', {
    config: { public: true },
    schema: { summary: 'It can do its work: control database, engines, loop', tags: ['health'], response: { 200: readiness, 503: readiness } },
  }, async (_request, reply) => {
    const checks = [...(await check())]
    const ready = checks.every(({ ok }) => ok)
    return reply.code(ready ? 200 : 503).send({ ready, checks })
  })

  app.get('/metrics', {
    config: { public: settings.metricsArePublic },
    schema: {
      summary: 'Measurements in the text format of Prometheus',
      tags: ['health'],
      response: { 200: { description: 'Measurements', content: { 'text/plain': { schema: z.string() } } }, ...problems },
    },
  }, async (request, reply) => {
    if (!settings.metricsArePublic) requirePlatform(principalOf(request))
    return reply.type(metrics.registry.contentType).send(await metrics.registry.metrics())
  })
}
