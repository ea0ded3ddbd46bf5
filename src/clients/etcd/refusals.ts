/**
 * What etcd refuses, by its own words, which are what its clients tell errors apart by (etcd, api/v3rpc/rpctypes/error.go):
 * gRPC's codes are too coarse.
 */
import { z } from 'zod'
import { HoldfastError } from '../../domain/errors.ts'

export interface EtcdRefusal {
  /** gRPC's code. */
  readonly code: number
  /** etcd's words, without their prefix `etcdserver: `. */
  readonly reason: string
}

/** A member that restarted has forgotten its tokens; one that was taken before authentication was turned on is none. */
const tokenUnknown: ReadonlySet<string> = new Set(['invalid auth token', 'user name is empty'])
/** Somebody changed users or roles between its asking and its doing. */
const authMoved: ReadonlySet<string> = new Set(['revision of auth store is old'])
/** Refused before anything was done. */
const notDone: ReadonlySet<string> = new Set(['too many requests', 'no leader', 'not leader', 'raft proposal dropped', 'server stopped', 'rpc not supported for learner', 'unhealthy cluster'])
/** gRPC: cancelled, unknown, deadline exceeded, internal, unavailable. The request may have been done. */
const unsettled: ReadonlySet<number> = new Set([1, 2, 4, 13, 14])

export type Verdict = 'newToken' | 'sameAgain' | 'elsewhere' | 'unsettled' | 'final'

export function verdictOn({ code, reason }: EtcdRefusal): Verdict {
  if (tokenUnknown.has(reason)) return 'newToken'
  if (authMoved.has(reason)) return 'sameAgain'
  if (notDone.has(reason)) return 'elsewhere'
  return unsettled.has(code) ? 'unsettled' : 'final'
}

const bodySchema = z.object({ code: z.int(), message: z.string().optional(), error: z.string().optional() })

/** Of a body in JSON; what is refused before it reaches etcd itself is refused in plain words. */
export function refusalIn(status: number, text: string): EtcdRefusal {
  const parsed = bodySchema.safeParse(parseJson(text))
  if (!parsed.success) return { code: status >= 500 ? 2 : 3, reason: text.trim().slice(0, 200) }
  const { code, message, error } = parsed.data
  return { code, reason: (message ?? error ?? '').replace(/^etcdserver: /, '') }
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

const factsSchema = z.object({ etcd: z.object({ code: z.int(), reason: z.string() }) })

/** What etcd answered, if `error` is such an answer. */
export function etcdRefusalOf(error: unknown): EtcdRefusal | null {
  if (!(error instanceof HoldfastError)) return null
  const parsed = factsSchema.safeParse(error.facts)
  return parsed.success ? parsed.data.etcd : null
}

export function refused(endpoint: string, path: string, refusal: EtcdRefusal): HoldfastError {
  return new HoldfastError('Internal', `etcd on ${endpoint} refused ${path}: ${refusal.reason}`, { facts: { endpoint, etcd: refusal } })
}

/** A write that was sent and not answered. Never leaves this room: it becomes a value. */
export class AmbiguousWrite extends Error {
  override readonly name = 'AmbiguousWrite'
}

export function isAmbiguous(error: unknown): error is AmbiguousWrite {
  return error instanceof AmbiguousWrite
}
