/** Keys: what is read is linearizable, and what is written is answered, refused or `ambiguous`. */
import { z } from 'zod'
import { effectDone } from '../effects.ts'
import { decoded, encoded, int64, prefixEnd } from './encoding.ts'
import { isAmbiguous } from './refusals.ts'
import type { Session } from './session.ts'

export interface EtcdEntry {
  readonly key: string
  readonly value: string
  readonly createRevision: number
  readonly modRevision: number
  /** The lease that it ends with; null when it does not end. */
  readonly lease: string | null
}

export interface EtcdFound {
  readonly entry: EtcdEntry | null
  /** Of the store, when it was looked. */
  readonly revision: number
}

export interface EtcdListing {
  /** By key. */
  readonly entries: readonly EtcdEntry[]
  readonly revision: number
}

export type EtcdChange =
  | { readonly kind: 'put'; readonly entry: EtcdEntry }
  | { readonly kind: 'delete'; readonly key: string; readonly modRevision: number }

/** `ambiguous`: it may have been done or not, and may even be done yet, within seconds: read back. */
export type EtcdWritten =
  | { readonly outcome: 'done'; readonly revision: number }
  | { readonly outcome: 'ambiguous'; readonly reason: string }

/** A key that does not exist has the revisions 0. */
export type EtcdCompare =
  | { readonly key: string; readonly value: string }
  | { readonly key: string; readonly modRevision: number }
  | { readonly key: string; readonly createRevision: number }

export type EtcdOperation =
  | { readonly kind: 'put'; readonly key: string; readonly value: string; readonly lease?: string }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'get'; readonly key: string }

export interface EtcdTxn {
  /** All of them have to hold. */
  readonly when: readonly EtcdCompare[]
  /** In this order, at once. One key may be put once, and not deleted in the same transaction. */
  readonly then: readonly EtcdOperation[]
  readonly otherwise?: readonly EtcdOperation[]
}

export type EtcdTxnAnswer =
  | {
      /** `held`: the comparisons did and `then` was done; `failed`: they did not and `otherwise` was. */
      readonly outcome: 'held' | 'failed'
      readonly revision: number
      /** Of the `get` operations that were done, in their order. */
      readonly found: readonly (EtcdEntry | null)[]
    }
  | { readonly outcome: 'ambiguous'; readonly reason: string }

export interface EtcdLease {
  /** Seconds until it ends. */
  readonly ttlSeconds: number
  readonly grantedSeconds: number
  readonly keys: readonly string[]
}

export interface EtcdKeys {
  get(key: string, signal: AbortSignal): Promise<EtcdFound>
  list(prefix: string, signal: AbortSignal): Promise<EtcdListing>
  put(key: string, value: string, signal: AbortSignal): Promise<EtcdWritten>
  /** Repeated until it is answered: deleting twice is deleting once. */
  deletePrefix(prefix: string, signal: AbortSignal): Promise<{ readonly deleted: number }>
  txn(txn: EtcdTxn, signal: AbortSignal): Promise<EtcdTxnAnswer>
  /** Null when it has ended. */
  leaseTimeToLive(lease: string, signal: AbortSignal): Promise<EtcdLease | null>
}

const headerSchema = z.object({ revision: int64 })

export const entrySchema = z
  .object({ key: decoded, value: decoded.default(''), create_revision: int64, mod_revision: int64, lease: z.string().optional() })
  .transform((seen): EtcdEntry => ({
    key: seen.key, value: seen.value, createRevision: seen.create_revision, modRevision: seen.mod_revision,
    lease: seen.lease === undefined || seen.lease === '0' ? null : seen.lease,
  }))

export const rangeSchema = z.object({ header: headerSchema, kvs: z.array(entrySchema).default([]) })
const writtenSchema = z.object({ header: headerSchema })
const deletedSchema = z.object({ deleted: int64.default(0) })

const responseSchema = z.object({ response_range: z.object({ kvs: z.array(entrySchema).default([]) }).optional() })
const txnSchema = z.object({ header: headerSchema, succeeded: z.boolean().default(false), responses: z.array(responseSchema).default([]) })

const leaseSchema = z.object({ TTL: int64.default(-1), grantedTTL: int64.default(0), keys: z.array(decoded).default([]) })

export function keyClient(session: Session): EtcdKeys {
  return {
    get: async (key, signal) => {
      const { header, kvs } = await session.read('/v3/kv/range', { key: encoded(key) }, rangeSchema, signal)
      return { entry: kvs[0] ?? null, revision: header.revision }
    },
    list: async (prefix, signal) => {
      const { header, kvs } = await session.read('/v3/kv/range', rangeOf(prefix), rangeSchema, signal)
      return { entries: kvs, revision: header.revision }
    },
    put: (key, value, signal) => ambiguousAsValue(async () => {
      const { header } = await session.write('/v3/kv/put', { key: encoded(key), value: encoded(value) }, writtenSchema, signal)
      effectDone('etcd', 'put')
      return { outcome: 'done', revision: header.revision }
    }),
    deletePrefix: async (prefix, signal) => {
      const deleted = await session.read('/v3/kv/deleterange', rangeOf(prefix), deletedSchema, signal)
      effectDone('etcd', 'deleterange')
      return deleted
    },
    txn: (txn, signal) => ambiguousAsValue(async () => {
      const { header, succeeded, responses } = await session.write('/v3/kv/txn', txnBody(txn), txnSchema, signal)
      effectDone('etcd', 'txn')
      const found = responses.flatMap(({ response_range }) => (response_range === undefined ? [] : [response_range.kvs[0] ?? null]))
      return { outcome: succeeded ? 'held' : 'failed', revision: header.revision, found }
    }),
    leaseTimeToLive: async (lease, signal) => {
      const { TTL, grantedTTL, keys } = await session.read('/v3/lease/timetolive', { ID: lease, keys: true }, leaseSchema, signal)
      return TTL < 0 ? null : { ttlSeconds: TTL, grantedSeconds: grantedTTL, keys }
    },
  }
}

/** An empty prefix would be everything, which nobody here means. */
export function rangeOf(prefix: string): { readonly key: string; readonly range_end: string } {
  if (prefix === '') throw new RangeError('a prefix of etcd keys is not empty')
  return { key: encoded(prefix), range_end: prefixEnd(prefix) }
}

function txnBody({ when, then, otherwise = [] }: EtcdTxn): object {
  return { compare: when.map(compareBody), success: then.map(operationBody), failure: otherwise.map(operationBody) }
}

function compareBody(compare: EtcdCompare): object {
  const key = { key: encoded(compare.key), result: 'EQUAL' }
  if ('value' in compare) return { ...key, target: 'VALUE', value: encoded(compare.value) }
  if ('modRevision' in compare) return { ...key, target: 'MOD', mod_revision: String(compare.modRevision) }
  return { ...key, target: 'CREATE', create_revision: String(compare.createRevision) }
}

function operationBody(operation: EtcdOperation): object {
  const key = encoded(operation.key)
  switch (operation.kind) {
    case 'put':
      return { request_put: { key, value: encoded(operation.value), ...(operation.lease !== undefined && { lease: operation.lease }) } }
    case 'delete':
      return { request_delete_range: { key } }
    case 'get':
      return { request_range: { key } }
  }
}

async function ambiguousAsValue<T>(write: () => Promise<T>): Promise<T | { readonly outcome: 'ambiguous'; readonly reason: string }> {
  try {
    return await write()
  } catch (error) {
    if (isAmbiguous(error)) return { outcome: 'ambiguous', reason: error.message }
    throw error
  }
}
