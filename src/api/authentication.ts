/**
 * Who is asking. Everything needs a bearer token unless its route says `public`: forgetting to say anything is safe.
 * Runs before the body is read, so that a stranger's megabyte is never parsed.
 */
import { normalizeIP } from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'
import { HoldfastError } from '../domain/errors.ts'
import { Secret } from '../domain/secret.ts'
import type { Actor, Principal } from '../store/store.ts'
import { createAttempts } from './attempts.ts'
import type { Api } from './instance.ts'
import type { ApiParts } from './settings.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Needs no token. */
    public?: boolean
  }
  interface FastifyRequest {
    /** Null on public routes and before authentication. */
    principal: Principal | null
  }
}

/** What one subscriber usually has, so that a stranger does not count as many. */
const ipv6Subnet = 64
/** Longer than any token we gave out; more is not worth a look. */
const longestToken = 200

export function requireTokens(app: Api, { store, settings }: ApiParts): void {
  app.decorateRequest('principal', null)
  const attempts = createAttempts(app, settings.failedAuthenticationsPerMinute)

  app.addHook('onRequest', async (request) => {
    if (request.is404 || request.routeOptions.config.public === true) return
    const token = bearerToken(request)
    await attempts.admit(request, token)
    request.principal = token === undefined ? null : await store.tokens.verify(token)
    if (token !== undefined && request.principal !== null) return attempts.succeeded(token)
    await attempts.failed(request)
    throw unauthenticated(token !== undefined)
  })
}

/** After authentication, so that each token has its own share wherever it comes from; strangers share by address. */
export function limitRequests(app: Api): void {
  const keyGenerator = (request: FastifyRequest): string => request.principal?.tokenId ?? normalizeIP(request.ip, ipv6Subnet)
  app.addHook('onRequest', app.rateLimit({ keyGenerator }))
}

export function principalOf(request: FastifyRequest): Principal {
  if (request.principal === null) throw unauthenticated(false)
  return request.principal
}

/** Who the audit log and operations will name. */
export function actorOf(request: FastifyRequest): Actor {
  const { tokenId, name } = principalOf(request)
  return { tokenId, name, requestId: request.id }
}

function bearerToken(request: FastifyRequest): Secret | undefined {
  const found = /^Bearer +([A-Za-z0-9_-]+)$/i.exec(request.headers.authorization ?? '')?.[1]
  return found === undefined || found.length > longestToken ? undefined : new Secret(found)
}

/** The same for unknown, expired and revoked tokens: a stranger learns nothing of which exist. */
function unauthenticated(gaveToken: boolean): HoldfastError {
  const message = gaveToken ? 'The token is unknown, expired or revoked.' : 'This needs a token.'
  return new HoldfastError('Unauthenticated', message, { next: 'Send authorization: Bearer with a token from POST /v1/tokens.' })
}
