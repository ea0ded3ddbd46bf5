/**
 * What is sealed in the control database, and under which context. The context names table, row and column, so that a
 * sealed text copied elsewhere does not open there. `keys.ts` re-encrypts from this list: a sealed column that is not
 * in it would be lost with its key (a test looks for that).
 */
export const sealContext = {
  password: (credentialId: string): string => `credentials/${credentialId}/password`,
  verifier: (credentialId: string): string => `credentials/${credentialId}/verifier`,
  repositoryCipher: (instanceId: string): string => `instances/${instanceId}/repository_cipher`,
  dcsPassword: (instanceId: string): string => `instances/${instanceId}/dcs_password`,
  authorityKey: (authorityId: string): string => `certificate_authorities/${authorityId}/private_key`,
  certificateKey: (purpose: string, ownerId: string): string => `certificates/${purpose}/${ownerId}/private_key`,
} as const

export interface SealedColumn {
  readonly table: string
  readonly column: string
  /** SQL expression that gives the row's part of the context, and finds the row again. */
  readonly key: string
}

export const sealedColumns: readonly SealedColumn[] = [
  { table: 'credentials', column: 'password', key: 'id::text' },
  { table: 'credentials', column: 'verifier', key: 'id::text' },
  { table: 'instances', column: 'repository_cipher', key: 'id::text' },
  { table: 'instances', column: 'dcs_password', key: 'id::text' },
  { table: 'certificate_authorities', column: 'private_key', key: 'id::text' },
  { table: 'certificates', column: 'private_key', key: `purpose || '/' || owner_id` },
]

export function contextOf({ table, column }: SealedColumn, key: string): string {
  return `${table}/${key}/${column}`
}
