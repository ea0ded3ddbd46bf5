/** What the installation offers: its certificate authorities, its tiers, its hosts. */
import { z } from 'zod'
import { tierNames } from '../../domain/tiers.ts'
import { principalOf } from '../authentication.ts'
import { showTier } from '../databaseView.ts'
import type { Api } from '../instance.ts'
import { requirePlatform } from '../reach.ts'
import { problems } from '../schemas/problem.ts'
import { host, tier } from '../schemas/tenants.ts'
import { listOf } from '../schemas/words.ts'
import type { ApiParts } from '../settings.ts'

export function installationRoutes(app: Api, { store }: ApiParts): void {
  app.get('/v1/ca.pem', {
    config: { public: true },
    schema: {
      summary: 'Certificates to verify endpoints and this API with (sslrootcert)',
      tags: ['installation'],
      response: { 200: { description: 'Every trusted authority, the active one first', content: { 'application/x-pem-file': { schema: z.string() } } }, ...problems },
    },
  }, async (_request, reply) => {
    const trusted = await store.certificates.trusted()
    return reply.type('application/x-pem-file').send(trusted.map(({ certificatePem }) => `${certificatePem.trim()}\n`).join(''))
  })

  app.get('/v1/tiers', {
    schema: { summary: 'What each tier gives', tags: ['installation'], response: { 200: listOf(tier), ...problems } },
  }, () => ({ items: tierNames.map(showTier) }))

  app.get('/v1/hosts', {
    schema: { summary: 'The hosts that databases run on', tags: ['installation'], response: { 200: listOf(host), ...problems } },
  }, async (request) => {
    requirePlatform(principalOf(request))
    return { items: [...(await store.hosts.list())] }
  })
}
