/** CIDR ranges as PostgreSQL's `cidr` takes them: an address whose bits beyond the prefix are all zero. */
import { isIPv6 } from 'node:net'
import { z } from 'zod'

export const addressRange = z
  .union([z.cidrv4(), z.cidrv6()], 'must be a range such as 203.0.113.0/24 or 2001:db8::/32')
  .refine(isCanonical, 'has bits set beyond its prefix: write the first address of the range')

function isCanonical(range: string): boolean {
  const [address = '', prefix = ''] = range.split('/')
  const width = isIPv6(address) ? 128 : 32
  const value = isIPv6(address) ? ipv6Value(address) : ipv4Value(address)
  return value % 2n ** BigInt(width - Number(prefix)) === 0n
}

function ipv4Value(address: string): bigint {
  return address.split('.').reduce((value, octet) => value * 256n + BigInt(octet), 0n)
}

function ipv6Value(address: string): bigint {
  const plain = address.replace(/\d+\.\d+\.\d+\.\d+$/, (tail) => {
    const value = ipv4Value(tail)
    return `${(value / 65536n).toString(16)}:${(value % 65536n).toString(16)}`
  })
  const [head = '', tail] = plain.split('::')
  const before = groups(head)
  const after = groups(tail ?? '')
  const gap = tail === undefined ? [] : Array.from({ length: 8 - before.length - after.length }, () => 0n)
  return [...before, ...gap, ...after].reduce((value, group) => value * 65536n + group, 0n)
}

function groups(text: string): bigint[] {
  return text === '' ? [] : text.split(':').map((group) => BigInt(`0x${group}`))
}
