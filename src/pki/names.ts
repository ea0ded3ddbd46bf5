/** What may stand in a certificate. A name that some verifier would read differently is refused before it is signed. */
import { isIP } from 'node:net'
import { HoldfastError } from '../domain/errors.ts'

/** RFC 5280 allows 64 characters; the alphabet needs no escaping in any printed form of a name. */
const commonNamePattern = /^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$/
const dnsLabel = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
const dnsNamePattern = new RegExp(`^(?=.{1,253}$)(?:\\*\\.)?${dnsLabel}(?:\\.${dnsLabel})*$`)

export function checkCommonName(name: string): string {
  if (!commonNamePattern.test(name)) throw unfit('common name', name, 'at most 64 letters, digits, dots, dashes, underscores and spaces')
  return name
}

export function checkDnsName(name: string): string {
  if (!dnsNamePattern.test(name) || isIP(name) !== 0) throw unfit('DNS name', name, 'a lower-case host name, not an address')
  return name
}

export function checkIpAddress(address: string): string {
  if (isIP(address) === 0 || address.includes('%')) throw unfit('IP address', address, 'an IPv4 or IPv6 address without a zone')
  return address
}

function unfit(kind: string, value: string, allowed: string): HoldfastError {
  return new HoldfastError('CertificateInvalid', `A certificate cannot carry the ${kind} ${JSON.stringify(value)}`, {
    next: `Give ${allowed}`,
  })
}
