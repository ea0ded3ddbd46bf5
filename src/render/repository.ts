/** The lines by which pgBackRest finds one instance's repository in the object store. Pure. They hold secrets. */
import type { Secret } from '../domain/secret.ts'
import type { RenderedFile } from '../domain/blueprint.ts'
import { Encoded, absolutePath, address, identifier, iniValue, pem, port } from './encode.ts'
import { plainFile } from './rendered.ts'
import { renderTemplate } from './template.ts'

export interface RepositoryInput {
  readonly host: string
  readonly port: number
  readonly region: string
  readonly bucket: string
  readonly uriStyle: 'path' | 'host'
  readonly accessKey: Secret
  readonly secretKey: Secret
  /** Of the store's certificate; null: the authorities that the image knows. */
  readonly caPem: string | null
  /** `/lineages/<instanceId>` */
  readonly path: string
  readonly cipher: Secret
}

export function repositoryLines(input: RepositoryInput): Encoded {
  const text = renderTemplate('agent/repository.conf', {
    bucket: identifier(input.bucket),
    path: absolutePath(input.path),
    host: address(input.host),
    port: port(input.port),
    region: identifier(input.region),
    uriStyle: identifier(input.uriStyle),
    accessKey: iniValue(input.accessKey.reveal()),
    secretKey: iniValue(input.secretKey.reveal()),
    cipher: iniValue(input.cipher.reveal()),
  })
  return new Encoded(input.caPem === null ? text.trimEnd() : `${text}repo1-storage-ca-file=/conf/s3/ca.crt`)
}

export function repositoryFiles(input: RepositoryInput): readonly RenderedFile[] {
  return input.caPem === null ? [] : [plainFile('/conf/s3/ca.crt', pem(input.caPem))]
}
