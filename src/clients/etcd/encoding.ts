/** How etcd's JSON gateway writes bytes (base64) and 64-bit numbers (text). */
import { z } from 'zod'

export function encoded(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64')
}

/** UTF-8 in base64. */
export const decoded = z.string().transform((text) => Buffer.from(text, 'base64').toString('utf8'))

/** Revisions, sizes and seconds: all far below the numbers that JavaScript keeps exactly. Ids may be larger and stay text. */
export const int64 = z.union([z.string().regex(/^-?\d+$/), z.number()]).transform(Number).pipe(z.int())

/** The first key behind all that begin with `prefix`. */
export function prefixEnd(prefix: string): string {
  const bytes = Buffer.from(prefix, 'utf8')
  // UTF-8 never contains 0xff, so the last byte can always be raised
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) + 1, bytes.length - 1)
  return bytes.toString('base64')
}
