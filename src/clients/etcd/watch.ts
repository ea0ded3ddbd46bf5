/**
 * What changes below a prefix, told as it happens. etcd keeps a silent stream open even when its member is frozen or cut
 * off, so a member that is silent is asked something: only one that still answers for the whole cluster is believed.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { describeError, HoldfastError } from '../../domain/errors.ts'
import type { EtcdEndpoint } from '../etcd.ts'
import { decoded, int64 } from './encoding.ts'
import { entrySchema, rangeOf, rangeSchema, type EtcdChange, type EtcdEntry } from './keys.ts'
import { resultsIn } from './lines.ts'
import type { Session } from './session.ts'
import { addressOf } from './transport.ts'

export type EtcdNews =
  /** All there is, in place of all that was known. */
  | { readonly kind: 'listed'; readonly entries: readonly EtcdEntry[]; readonly revision: number }
  | { readonly kind: 'changed'; readonly changes: readonly EtcdChange[]; readonly revision: number }
  /** The member has answered for the cluster and has nothing new. */
  | { readonly kind: 'quiet' }
  /** Nothing is known any more until it is listed anew. */
  | { readonly kind: 'lost'; readonly reason: string }

const quietMs = 500
const pauseMs = 200
const path = '/v3/watch'

export async function* watchPrefix(session: Session, prefix: string, signal: AbortSignal): AsyncGenerator<EtcdNews, void, undefined> {
  for (;;) {
    for (const endpoint of session.order()) {
      try {
        yield* follow(session, endpoint, prefix, signal)
      } catch (error) {
        signal.throwIfAborted()
        yield { kind: 'lost', reason: describeError(error) }
      }
      await sleep(pauseMs, undefined, { signal }).catch(() => signal.throwIfAborted())
    }
  }
}

const eventSchema = z.union([
  z.object({ type: z.literal('DELETE'), kv: z.object({ key: decoded, mod_revision: int64 }) })
    .transform(({ kv }): EtcdChange => ({ kind: 'delete', key: kv.key, modRevision: kv.mod_revision })),
  z.object({ type: z.literal('PUT').optional(), kv: entrySchema }).transform(({ kv }): EtcdChange => ({ kind: 'put', entry: kv })),
])

const newsSchema = z.object({
  header: z.object({ revision: int64 }), canceled: z.boolean().default(false), cancel_reason: z.string().default(''), events: z.array(eventSchema).default([]),
})

async function* follow(session: Session, endpoint: EtcdEndpoint, prefix: string, caller: AbortSignal): AsyncGenerator<EtcdNews, void, undefined> {
  const range = rangeOf(prefix)
  const listing = await session.at(endpoint, '/v3/kv/range', range, rangeSchema, caller)
  yield { kind: 'listed', entries: listing.kvs, revision: listing.header.revision }
  const ending = new AbortController()
  const signal = AbortSignal.any([caller, ending.signal])
  try {
    const request = { create_request: { ...range, start_revision: String(listing.header.revision + 1) } }
    const news = resultsIn(await session.streamAt(endpoint, path, request, signal), addressOf(endpoint), path, newsSchema)
    let next = news.next()
    for (;;) {
      const told = await Promise.race([next, quiet(signal)])
      if (told === 'quiet') {
        // linearizable: a member without its quorum does not answer
        await session.at(endpoint, '/v3/kv/range', { ...range, count_only: true }, z.unknown(), signal)
        yield { kind: 'quiet' }
        continue
      }
      if (told.done === true) throw new HoldfastError('EtcdUnavailable', `etcd on ${addressOf(endpoint)} ended the watch`)
      const { canceled, cancel_reason, events, header } = told.value
      if (canceled) throw new HoldfastError('EtcdUnavailable', `etcd on ${addressOf(endpoint)} ended the watch: ${cancel_reason}`)
      if (events.length > 0) yield { kind: 'changed', changes: events, revision: header.revision }
      next = news.next()
    }
  } finally {
    ending.abort()
  }
}

function quiet(signal: AbortSignal): Promise<'quiet'> {
  return sleep(quietMs, 'quiet' as const, { signal }).catch(() => new Promise<never>(() => undefined))
}
