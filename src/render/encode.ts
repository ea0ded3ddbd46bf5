/**
 * The only way into a template: every value is checked and written the way its format wants it.
 * A value that could end its line or its quotes is refused, never repaired: it means that validation failed further up.
 */
import { isIP } from 'node:net'
import { HoldfastError } from '../domain/errors.ts'

/** Text that may stand in a template as it is. Only the functions below make one, and a template that is part of another. */
export class Encoded {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

const identifierPattern = /^[a-z0-9][a-z0-9._-]{0,127}$/
const addressPattern = /^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$|^[0-9a-fA-F:]{2,39}$/
const databasePattern = /^[A-Za-z_][A-Za-z0-9_-]{0,62}$/
const pathPattern = /^\/[A-Za-z0-9/._-]{0,254}$/
const pemPattern = /^(?:-----BEGIN [A-Z0-9 ]+-----\n(?:[A-Za-z0-9+/=]+\n)+-----END [A-Z0-9 ]+-----\n?)+$/

/** Ids, common names, bucket and region names: lower case, digits, `. _ -`. */
export function identifier(value: string): Encoded {
  return new Encoded(checked('identifier', value, identifierPattern))
}

/** A host name or an IP address. */
export function address(value: string): Encoded {
  return new Encoded(checked('address', value, addressPattern))
}

/** The name of a customer's database; narrower than what SQL would allow. */
export function databaseName(value: string): Encoded {
  return new Encoded(checked('database name', value, databasePattern))
}

/** An address or a network, as an allow-list holds it. */
export function cidr(value: string): Encoded {
  const [ip = '', bits, ...more] = value.split('/')
  const most = isIP(ip) === 4 ? 32 : 128
  const fits = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most)
  // isIP also takes zones (fe80::1%eth0), which mean something on one machine only.
  if (isIP(ip) === 0 || ip.includes('%') || !fits || more.length > 0) throw invalid('network', JSON.stringify(value.slice(0, 80)))
  return new Encoded(value)
}

export function absolutePath(value: string): Encoded {
  return new Encoded(checked('path', value, pathPattern))
}

export function port(value: number): Encoded {
  if (!Number.isInteger(value) || value < 1 || value > 65_535) throw invalid('port', String(value))
  return new Encoded(String(value))
}

export function integer(value: number): Encoded {
  if (!Number.isSafeInteger(value) || value < 0) throw invalid('whole number', String(value))
  return new Encoded(String(value))
}

/** One line of an ini file after the `=`: printable, without spaces at its ends. For secrets, too: the text is never quoted in errors. */
export function iniValue(value: string): Encoded {
  if (!/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(value)) throw invalid('ini value', '(not shown)')
  return new Encoded(value)
}

/** A quoted value of postgresql.conf. */
export function postgresString(value: string): Encoded {
  if (!/^[\x20-\x7e]*$/.test(value)) throw invalid('PostgreSQL setting', '(not printable)')
  return new Encoded(`'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`)
}

/** A quoted scalar of YAML. For secrets, too: the text is never quoted in errors. */
export function yamlString(value: string): Encoded {
  if (!/^[\x20-\x7e]*$/.test(value)) throw invalid('YAML text', '(not shown)')
  return new Encoded(JSON.stringify(value))
}

/** Lines of YAML below a key: each indented by so many spaces more. */
export function indented(text: Encoded, spaces: number): Encoded {
  return new Encoded(text.text.replaceAll(/^(?=.)/gm, ' '.repeat(spaces)))
}

/** One or several PEM blocks, ended by a line feed. Never quoted in errors. */
export function pem(value: string): string {
  const text = `${value.replaceAll('\r\n', '\n').replace(/\n+(?=-----BEGIN)/g, '\n').trim()}\n`
  if (!pemPattern.test(text)) throw invalid('PEM text', '(not shown)')
  return text
}

/** Several encoded lines, joined by line feeds. */
export function lines(parts: readonly Encoded[]): Encoded {
  return new Encoded(parts.map((part) => part.text).join('\n'))
}

/** Encoded parts inside constant text: encoded`server ${address(a)}:${port(p)}`. */
export function encoded(strings: TemplateStringsArray, ...parts: readonly Encoded[]): Encoded {
  return new Encoded(strings.map((text, index) => text + (parts[index]?.text ?? '')).join(''))
}

function checked(what: string, value: string, pattern: RegExp): string {
  if (!pattern.test(value)) throw invalid(what, JSON.stringify(value.slice(0, 80)))
  return value
}

function invalid(what: string, shown: string): HoldfastError {
  return new HoldfastError('Internal', `A configuration cannot be rendered: not a valid ${what}: ${shown}`, {
    next: 'This value should have been refused when it was given; report it as a fault.',
  })
}
