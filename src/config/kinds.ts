/** The kinds of values that settings are made of. Each says what is allowed in words, for the mistakes shown at start and for the docs. */
import { isIP } from 'node:net'
import { Cron } from 'croner'
import { z } from 'zod'
import { Keyring } from '../domain/keyring.ts'
import { secretSchema } from '../domain/secret.ts'

export const port = z.int().min(1).max(65_535)

export const portRange = z
  .string()
  .transform((text, context) => {
    const [, first, last] = (/^(\d{1,5})-(\d{1,5})$/.exec(text) ?? []).map(Number)
    if (first !== undefined && last !== undefined && first >= 1_024 && first <= last && last <= 65_535) return { first, last }
    context.addIssue({ code: 'custom', message: 'is not a range of ports' })
    return z.NEVER
  })
  .meta({ allowed: 'FIRST-LAST between 1024 and 65535' })

export const ipAddress = z
  .string()
  .refine((text) => isIP(text) !== 0, 'is not an IP address')
  .meta({ allowed: 'an IPv4 or IPv6 address' })

export const file = z.string().min(1).meta({ allowed: 'the path of a readable file' })

export const cron = z.string().refine(isCron, 'is not a cron pattern').meta({ allowed: 'a cron pattern, in UTC' })

export function text(pattern: RegExp, allowed: string) {
  return z.string().regex(pattern, 'is not of the allowed form').meta({ allowed })
}

export const slug = text(/^[a-z][a-z0-9-]{1,20}$/, 'a to z first, then a to z, 0 to 9 and dashes; 2 to 21 characters')

export const databaseUrl = secretSchema
  .refine((url) => isUrl(url.reveal(), ['postgres:', 'postgresql:']), 'is not the URL of a PostgreSQL database')
  .meta({ allowed: 'postgres://USER:PASSWORD@HOST:PORT/DATABASE' })

export const masterKeys = secretSchema
  .superRefine((keys, context) => {
    try {
      Keyring.parse(keys)
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : 'does not parse' })
    }
  })
  .meta({ allowed: 'id:base64 of 32 bytes[,id:base64…], the active one first' })

export const etcdEndpoints = z
  .string()
  .transform((text, context) => {
    const urls = text.split(',').map((one) => URL.parse(one.trim()))
    const endpoints = urls.flatMap((url) => {
      const isRight = url !== null && url.protocol === 'https:' && url.hostname !== '' && url.pathname === '/' && url.username === '' && url.search === ''
      // brackets belong to the URL, not to the address
      return isRight ? [{ host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(url.port === '' ? 443 : url.port) }] : []
    })
    if (endpoints.length === urls.length) return endpoints
    context.addIssue({ code: 'custom', message: 'is not a list of https URLs' })
    return z.NEVER
  })
  .meta({ allowed: 'https://HOST:PORT[,https://HOST:PORT…]' })

export function isUrl(candidate: string, protocols: readonly string[]): boolean {
  const url = URL.parse(candidate)
  return url !== null && url.hostname !== '' && protocols.includes(url.protocol)
}

function isCron(pattern: string): boolean {
  try {
    return new Cron(pattern, { timezone: 'UTC' }).nextRun() !== null
  } catch {
    return false
  }
}
