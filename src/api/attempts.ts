/**
 * Bounds how often an address may come without a valid token, and so how many tokens can be tried and how many look-ups
 * a stranger can cause. Tokens that were valid a while ago are still looked up from there: many clients can share one
 * address (all containers of a host come from its gateway), and one of them must not lock the others out.
 */
import { createHash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { HoldfastError } from '../domain/errors.ts'
import type { Secret } from '../domain/secret.ts'
import type { Api } from './instance.ts'

/** More tokens than one controller's clients use at a time; each costs a hash. */
const mostRemembered = 5000

export interface Attempts {
  /** Throws `RateLimited` when this is not worth a look any more. */
  admit(request: FastifyRequest, token: Secret | undefined): Promise<void>
  failed(request: FastifyRequest): Promise<void>
  succeeded(token: Secret): void
}

export function createAttempts(app: Api, mostPerMinute: number): Attempts {
  const count = app.createRateLimit({ max: mostPerMinute, timeWindow: 60_000 })
  const validBefore = new Set<string>()
  return {
    async admit(request, token) {
      if (token !== undefined && validBefore.has(digest(token))) return
      const seen = await count(request, { increment: false })
      if (!seen.isAllowed && seen.remaining === 0) throw tooMany(seen.ttlInSeconds)
    },
    async failed(request) {
      await count(request)
    },
    succeeded(token) {
      validBefore.add(digest(token))
      for (const oldest of validBefore) {
        if (validBefore.size <= mostRemembered) break
        validBefore.delete(oldest)
      }
    },
  }
}

/** It says only that a look-up is worth it, never that the token is valid: revoking takes effect at once. */
function digest(token: Secret): string {
  return createHash('sha256').update(token.reveal()).digest('base64')
}

function tooMany(seconds: number): HoldfastError {
  return new HoldfastError('RateLimited', 'Too many requests without a valid token came from this address.', {
    next: `Wait ${Math.max(seconds, 1)} seconds, then send a valid token.`,
  })
}
