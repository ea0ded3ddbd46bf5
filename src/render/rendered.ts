/**
 * What rendering returns: the files of one container, a hash of all they say, and a hash of the part that only a restart applies.
 * Files that differ while `restartHash` is the same are installed and followed by SIGHUP.
 */
import { createHash } from 'node:crypto'
import type { RenderedFile } from '../domain/blueprint.ts'
import type { Secret } from '../domain/secret.ts'
import { pem } from './encode.ts'

export interface Rendered {
  readonly files: readonly RenderedFile[]
  readonly configHash: string
  readonly restartHash: string
}

export interface KeyMaterial {
  readonly certificatePem: string
  readonly keyPem: Secret
}

/** `revision` makes the file by which the running server tells which configuration it has loaded; it is no part of the hash it carries. */
export function rendered(files: readonly RenderedFile[], needsRestart: unknown, revision?: (hash: string) => RenderedFile): Rendered {
  const hash = configHash(files)
  const all = revision === undefined ? files : [...files, revision(hash)]
  return { files: all, configHash: hash, restartHash: digest([JSON.stringify(needsRestart)]) }
}

/** Independent of the order of the files. */
export function configHash(files: readonly RenderedFile[]): string {
  const sorted = [...files].sort((a, b) => (a.path < b.path ? -1 : 1))
  return digest(sorted.flatMap((file) => [file.path, file.mode.toString(8), file.content]))
}

export function plainFile(path: string, content: string): RenderedFile {
  return { path, content, mode: 0o600, secret: false }
}

export function secretFile(path: string, content: string): RenderedFile {
  return { path, content, mode: 0o600, secret: true }
}

/** `/conf/tls/<name>.crt` and `.key`. */
export function keyPairFiles(name: string, pair: KeyMaterial): readonly RenderedFile[] {
  return [
    plainFile(`/conf/tls/${name}.crt`, pem(pair.certificatePem)),
    secretFile(`/conf/tls/${name}.key`, pem(pair.keyPem.reveal())),
  ]
}

export function trustFile(trustBundlePem: string): RenderedFile {
  return plainFile('/conf/tls/ca.crt', pem(trustBundlePem))
}

function digest(parts: readonly string[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part)
  return hash.digest('hex')
}
