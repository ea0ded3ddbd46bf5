/** The bare HTTPS server: limits, parsing, schemas, errors. Knows no route. */
import { randomUUID } from 'node:crypto'
import rateLimit from '@fastify/rate-limit'
import Fastify, { LogController } from 'fastify'
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { HoldfastError } from '../domain/errors.ts'
import { answerError, answerUnknownRoute } from './errors.ts'
import type { ApiParts } from './settings.ts'

/** The largest thing anyone has to say to us is an allow-list; a few KiB. */
const bodyLimitBytes = 256 * 1024
/** A client that needs longer to say its request is broken or hostile. */
const requestTimeoutMs = 30_000

export type Api = Awaited<ReturnType<typeof bareInstance>>

export async function bareInstance({ settings, logger, tls }: ApiParts) {
  const app = Fastify({
    https: { key: tls.key, cert: tls.cert, minVersion: 'TLSv1.2' },
    loggerInstance: logger,
    // one line per finished request is enough: observe.ts writes it
    logController: new LogController({ disableRequestLogging: true }),
    frameworkErrors: answerError,
    bodyLimit: bodyLimitBytes,
    requestTimeout: requestTimeoutMs,
    forceCloseConnections: true,
    // made here, never taken from the caller: it is what we find things by
    genReqId: () => randomUUID(),
    requestIdHeader: false,
  }).withTypeProvider<ZodTypeProvider>()

  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.removeContentTypeParser('text/plain')
  app.setErrorHandler(answerError)
  app.setNotFoundHandler(answerUnknownRoute)

  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id).header('cache-control', 'no-store').header('x-content-type-options', 'nosniff')
  })
  await app.register(rateLimit, {
    global: false,
    max: settings.requestsPerMinute,
    timeWindow: 60_000,
    errorResponseBuilder: (_request, { after }) => new HoldfastError('RateLimited', 'Too many requests came from here.', { next: `Wait ${after} and ask less often.` }),
  })
  // a missing body is an empty one: so each missing field is named
  app.addHook('preValidation', async (request) => {
    if (request.body === undefined && request.routeOptions.schema?.body !== undefined) request.body = {}
  })
  return app
}
