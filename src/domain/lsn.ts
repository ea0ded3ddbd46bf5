/** Log sequence numbers: positions in the write-ahead log, compared as integers and shown as PostgreSQL shows them. */
import { z } from 'zod'

/** Bytes since the beginning of the log, 64 bits. */
export type Lsn = bigint & { readonly __lsn: true }

const pattern = /^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/i

export const lsnSchema = z.string().regex(pattern).transform(parseLsn)

/** Parses `16/B374D848`. Throws a RangeError on anything else. */
export function parseLsn(text: string): Lsn {
  if (!pattern.test(text)) throw new RangeError(`not a log sequence number: ${text}`)
  const [high = '', low = ''] = text.split('/')
  return ((BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)) as Lsn
}

export function formatLsn(lsn: Lsn): string {
  const high = (lsn >> 32n).toString(16).toUpperCase()
  const low = (lsn & 0xffffffffn).toString(16).toUpperCase()
  return `${high}/${low}`
}

/** Bytes that `behind` still has to receive to stand where `ahead` stands; never negative. */
export function lagBytes(ahead: Lsn, behind: Lsn): number {
  return ahead > behind ? Number(ahead - behind) : 0
}

/** Sixteen megabytes: the segment size of every cluster we initialise. */
export const walSegmentBytes = 16 * 1024 * 1024

/**
 * The name of the WAL file that holds `lsn` on `timeline`, as `pg_walfile_name` gives it for a position inside it.
 * Layout: timeline, high 32 bits, segment within them, eight hex digits each (PostgreSQL `xlog_internal.h`).
 */
export function walFileName(timeline: number, lsn: Lsn): string {
  const segment = lsn / BigInt(walSegmentBytes)
  const perHigh = 0x100000000n / BigInt(walSegmentBytes)
  const hex = (value: bigint | number): string => value.toString(16).toUpperCase().padStart(8, '0')
  return hex(timeline) + hex(segment / perHigh) + hex(segment % perHigh)
}
