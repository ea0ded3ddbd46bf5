/**
 * Certificates of the embedded services, kept sealed in the state directory: a new one at every start would make the
 * object store restart its gateway each time.
 */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { Config } from '../config.ts'
import type { KeyPair } from '../domain/desired.ts'
import type { Keyring } from '../domain/keyring.ts'
import type { CertificateRequest } from '../domain/ports.ts'
import { needsRenewal } from '../domain/validity.ts'
import { issueFor } from '../pki/issuer.ts'
import type { FirstAuthority } from './authorityFile.ts'

const fileSchema = z.strictObject({
  authorityId: z.string(), certificatePem: z.string(), sealedKey: z.string(), notBefore: z.coerce.date(), notAfter: z.coerce.date(),
})

const dayMs = 86_400_000
const lifetimeMs = 365 * dayMs

export interface HoldOptions {
  readonly config: Config
  readonly keyring: Keyring
  readonly first: FirstAuthority
  readonly now: Date
}

/** The one kept under `name`, or a new one: of this authority, and not due for renewal. */
export async function heldCertificate({ config, keyring, first, now }: HoldOptions, name: string, request: CertificateRequest): Promise<KeyPair> {
  const path = join(config.stateDir, `${name}.certificate.json`)
  const context = `certificates/${name}`
  const kept = await readKept(path)
  if (kept !== null && kept.authorityId === first.id && !needsRenewal(kept, now)) {
    const { authorityId, certificatePem, notBefore, notAfter } = kept
    return { certificatePem, keyPem: keyring.open(kept.sealedKey, context), commonName: request.commonName, names: request.names, notBefore, notAfter, authorityId }
  }
  const issued = await issueFor(first.authority, first.id, request, lifetimeMs, now)
  const { authorityId, certificatePem, notBefore, notAfter } = issued
  const temporary = `${path}.${process.pid}`
  await writeFile(temporary, JSON.stringify({ authorityId, certificatePem, sealedKey: keyring.seal(issued.keyPem, context), notBefore, notAfter }), { mode: 0o600 })
  await rename(temporary, path)
  return issued
}

/** A file that is missing or was cut off is as good as none: another certificate is issued. */
async function readKept(path: string): Promise<z.infer<typeof fileSchema> | null> {
  try {
    return fileSchema.parse(JSON.parse(await readFile(path, 'utf8')))
  } catch {
    return null
  }
}
