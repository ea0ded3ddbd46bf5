/**
 * The installation's first certificate authority. It is needed before there is a control database (whose embedded form
 * speaks TLS too), so it is made into the state directory, sealed with the master key; at the first start it is imported
 * into the control database, which counts from then on.
 */
import { randomUUID } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { Config } from '../config.ts'
import { HoldfastError } from '../domain/errors.ts'
import type { Keyring } from '../domain/keyring.ts'
import { createAuthority, openAuthority, sealAuthority, type Authority } from '../pki/authority.ts'

const fileSchema = z.strictObject({ id: z.uuid(), certPem: z.string(), sealedKey: z.string() })

export interface FirstAuthority {
  readonly id: string
  readonly authority: Authority
}

/** Reads the file, or makes it. Errors: `MasterKeyUnknown`, `SealBroken`, `CertificateInvalid`. */
export async function ensureFirstAuthority(config: Config, keyring: Keyring, now: Date): Promise<FirstAuthority> {
  const path = join(config.stateDir, 'authority.json')
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  })
  return text === null ? makeFile(path, config, keyring, now) : openFile(path, text, keyring)
}

async function openFile(path: string, text: string, keyring: Keyring): Promise<FirstAuthority> {
  const parsed = fileSchema.safeParse(JSON.parse(text))
  if (!parsed.success) {
    throw new HoldfastError('CertificateInvalid', `The file ${path} does not hold a certificate authority`, { next: 'Put back the file as it was, from a copy of the state directory' })
  }
  return { id: parsed.data.id, authority: await openAuthority(parsed.data, keyring) }
}

async function makeFile(path: string, config: Config, keyring: Keyring, now: Date): Promise<FirstAuthority> {
  const authority = await createAuthority({ commonName: `Holdfast ${config.installation}`, validityMs: config.certificates.authorityLifetimeMs, now })
  const id = randomUUID()
  const temporary = `${path}.${process.pid}`
  await writeFile(temporary, JSON.stringify({ id, ...sealAuthority(authority, keyring) }), { mode: 0o600, flag: 'wx' })
  await rename(temporary, path)
  return { id, authority }
}
