/**
 * The installation's certificate authority as far as it is known before there is a control database, whose embedded form
 * speaks TLS too. The first one is made into the state directory, sealed with the master key, and imported into the control
 * database, which counts from then on: the controller writes into the file who signs and who is trusted by now.
 */
import { randomUUID } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { Config } from '../config.ts'
import { HoldfastError } from '../domain/errors.ts'
import type { Keyring } from '../domain/keyring.ts'
import { createAuthority, openAuthority, sealAuthority, type Authority } from '../pki/authority.ts'

const fileSchema = z.strictObject({ id: z.uuid(), certPem: z.string(), sealedKey: z.string(), trustPem: z.string().optional() })

type FileConfig = Pick<Config, 'stateDir' | 'installation' | 'certificates'>

export interface FirstAuthority {
  readonly id: string
  readonly authority: Authority
  /** Every authority that is trusted, itself among them. */
  readonly trustPem: string
}

/** Reads the file, or makes it; what an authority signed ends with it, so an ended one is replaced. Errors: `MasterKeyUnknown`, `SealBroken`, `CertificateInvalid`. */
export async function ensureFirstAuthority(config: FileConfig, keyring: Keyring, now: Date): Promise<FirstAuthority> {
  const path = fileOf(config)
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  })
  const found = text === null ? null : await openFile(path, text, keyring)
  if (found !== null && found.authority.notAfter > now) return found
  const made = await newAuthority(config, now)
  await keepAuthority(config, keyring, made)
  return made
}

export async function newAuthority({ installation, certificates }: Omit<FileConfig, 'stateDir'>, now: Date): Promise<FirstAuthority> {
  const authority = await createAuthority({ commonName: `Holdfast ${installation}`, validityMs: certificates.authorityLifetimeMs, now })
  return { id: randomUUID(), authority, trustPem: authority.certPem }
}

/** For the next start, and for clients on this machine. */
export async function keepAuthority(config: Pick<Config, 'stateDir'>, keyring: Keyring, { id, authority, trustPem }: FirstAuthority): Promise<void> {
  await writeWhole(fileOf(config), JSON.stringify({ id, ...sealAuthority(authority, keyring), trustPem }), 0o600)
  await writeWhole(trustFile(config), trustPem, 0o644)
}

/** What clients on this machine verify the API and endpoints with. */
export function trustFile({ stateDir }: Pick<Config, 'stateDir'>): string {
  return join(stateDir, 'ca.pem')
}

function fileOf({ stateDir }: Pick<Config, 'stateDir'>): string {
  return join(stateDir, 'authority.json')
}

/** Nobody ever reads half of it. */
async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.${randomUUID()}`
  await writeFile(temporary, text, { mode, flag: 'wx' })
  await rename(temporary, path)
}

async function openFile(path: string, text: string, keyring: Keyring): Promise<FirstAuthority> {
  const parsed = fileSchema.safeParse(JSON.parse(text))
  if (!parsed.success) {
    throw new HoldfastError('CertificateInvalid', `The file ${path} does not hold a certificate authority`, { next: 'Put back the file as it was, from a copy of the state directory' })
  }
  const { id, certPem, trustPem = certPem } = parsed.data
  return { id, authority: await openAuthority(parsed.data, keyring), trustPem }
}
