/** An authority as the control database keeps it. */
import type { FirstAuthority } from '../bootstrap/authorityFile.ts'
import type { AuthorityRecord } from '../store/store.ts'

export function recordOf({ id, authority }: FirstAuthority): AuthorityRecord {
  const { certPem: certificatePem, keyPem, notAfter } = authority
  return { id, certificatePem, keyPem, notAfter }
}
