/**
 * The files of a backup agent's /conf volume; its jobs (backup, verify, expire) mount the same. Pure.
 * Everything here is applied by SIGHUP or by the next job.
 */
import { internalName } from '../domain/names.ts'
import { address, integer, port } from './encode.ts'
import { keyPairFiles, plainFile, rendered, secretFile, trustFile } from './rendered.ts'
import type { KeyMaterial, Rendered } from './rendered.ts'
import { repositoryFiles, repositoryLines } from './repository.ts'
import type { RepositoryInput } from './repository.ts'
import { renderTemplate } from './template.ts'

export interface AgentInput {
  readonly repository: RepositoryInput
  readonly retentionDays: number
  /** The member that is backed up: where its ports are published. The name resolves through ExtraHosts. */
  readonly member: { readonly id: string; readonly ports: { readonly postgres: number; readonly backup: number } }
  /** WAL that may wait in the spool; beyond it the rest waits at the database, within the limit of the slot. */
  readonly spoolLimitBytes: number
  readonly trustBundlePem: string
  readonly client: KeyMaterial
}

/** Workers of one backup or restore: more would take the cores from the database that is being copied. */
export const backupProcesses = 2

export function renderAgent(input: AgentInput): Rendered {
  const repository = repositoryLines(input.repository)
  const host = address(internalName.member(input.member.id))
  const files = [
    secretFile('/conf/pgbackrest.conf', renderTemplate('agent/pgbackrest.conf', {
      repository,
      retentionDays: integer(input.retentionDays),
      processes: integer(backupProcesses),
      member: host,
      backupPort: port(input.member.ports.backup),
    })),
    secretFile('/conf/push.conf', renderTemplate('agent/push.conf', { repository })),
    plainFile('/conf/pg_service.conf', renderTemplate('agent/pg_service.conf', { host, port: port(input.member.ports.postgres) })),
    plainFile('/conf/agent.conf', renderTemplate('agent/agent.conf', { spoolLimitBytes: integer(input.spoolLimitBytes) })),
    ...repositoryFiles(input.repository),
    trustFile(input.trustBundlePem),
    ...keyPairFiles('agent', input.client),
  ]
  return rendered(files, [])
}
