/**
 * The words that all requests and answers share: names, ids, times, sizes. Each request schema is strict: a field we do
 * not know is a mistake of the caller, never something to ignore silently.
 */
import { z } from 'zod'
import { durabilities } from '../../domain/desired.ts'
import { tierNames, topologies } from '../../domain/tiers.ts'
import { addressRange } from './addressRange.ts'

const mib = 1024 * 1024
const tib = 1024 * 1024 * mib

/** The same as in the control database: a DNS label of at least two characters. */
export const name = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,38}[a-z0-9]$/, 'must be 2 to 40 of a-z, 0-9 and -, beginning with a letter and not ending with -')
  .describe('2 to 40 of a-z, 0-9 and -, beginning with a letter and not ending with -')

/** What PostgreSQL calls it. Names that PostgreSQL or we ourselves use are refused by `isReserved`. */
export const databaseName = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,40}$/, 'must be 1 to 41 of a-z, 0-9 and _, beginning with a letter')
  .refine((text) => !isReserved(text), 'is reserved: it must not begin with pg_ or holdfast, nor be postgres, template0 or template1')

/** True for names whose database or owner role would collide with PostgreSQL's or ours. */
export function isReserved(text: string): boolean {
  const normal = text.replaceAll('-', '_')
  return /^(pg_|holdfast)/.test(normal) || ['postgres', 'template0', 'template1'].includes(normal)
}

/** A sentence or label that people wrote: printable, one line. */
export const label = z.string().min(1).max(100).regex(/^[\p{L}\p{N}\p{P}\p{S} ]+$/u, 'must be one line of printable characters')

export const id = z.uuid('must be a UUID')
export const tierName = z.enum(tierNames)
export const topology = z.enum(topologies)
export const durability = z.enum(durabilities)
export const time = z.date()
/** A moment in a request: ISO 8601 with its offset. */
export const moment = z.iso.datetime({ offset: true, error: 'must be a time such as 2030-01-31T12:00:00Z' })
export const count = z.int().nonnegative()
export const bytes = count
/** The least: a file system of 320 MiB is the smallest that the disks helper makes, and a fifth of it is its log. */
export const storageBytes = z.int().min(320 * mib).max(16 * tib)
export const addressRanges = z.array(addressRange).max(200).describe('IPv4 or IPv6 ranges that may connect from outside, as CIDR')

/** How much of a list one answer holds. */
export const listLimit = z.coerce.number().int().min(1).max(500)
/** Query strings have no booleans of their own. */
export const queryFlag = z.enum(['true', 'false'])

export const idParams = z.strictObject({ id })

export function listOf<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item) })
}

export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), nextCursor: z.string().nullable().describe('Give it back as cursor; null on the last page') })
}
