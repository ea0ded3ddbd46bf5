/**
 * The files of a backup agent's /conf volume; its jobs (backup, verify, expire) mount the same. Pure.
 * Everything here is applied by SIGHUP or by the next job.
 */
import type { RenderedFile } from '../domain/blueprint.ts'
import { internalName } from '../domain/names.ts'
import { Encoded, address, encoded, integer, lines, port } from './encode.ts'
import { keyPairFiles, plainFile, rendered, secretFile, trustFile } from './rendered.ts'
import type { KeyMaterial, Rendered } from './rendered.ts'
import { repositoryFiles, repositoryLines } from './repository.ts'
import type { RepositoryInput } from './repository.ts'
import { renderTemplate } from './template.ts'

export interface AgentInput {
  readonly repository: RepositoryInput
  readonly retentionDays: number
  /** Who is backed up: of a cluster whoever leads it. The names resolve through ExtraHosts. */
  readonly members: readonly [AgentMember, ...AgentMember[]]
  /** WAL that may wait in the spool; beyond it the rest waits at the database, within the limit of the slot. */
  readonly spoolLimitBytes: number
  readonly trustBundlePem: string
  readonly client: KeyMaterial
}

export interface AgentMember {
  readonly id: string
  /** As they are published. */
  readonly ports: { readonly postgres: number; readonly backup: number }
}

/** Workers of one backup or restore: more would take the cores from the database that is being copied. */
export const backupProcesses = 2

export function renderAgent(input: AgentInput): Rendered {
  const repository = repositoryLines(input.repository)
  const [first] = input.members
  const files = [
    secretFile('/conf/pgbackrest.conf', renderTemplate('agent/pgbackrest.conf', {
      repository,
      retentionDays: integer(input.retentionDays),
      processes: integer(backupProcesses),
      // Of a cluster this only stands for the leader, whom each job puts in its place.
      member: nameOf(first),
      backupPort: port(first.ports.backup),
    })),
    secretFile('/conf/push.conf', renderTemplate('agent/push.conf', { repository })),
    ...memberFiles(input.members),
    plainFile('/conf/agent.conf', renderTemplate('agent/agent.conf', { spoolLimitBytes: integer(input.spoolLimitBytes) })),
    ...repositoryFiles(input.repository),
    trustFile(input.trustBundlePem),
    ...keyPairFiles('agent', input.client),
  ]
  return rendered(files, [])
}

function memberFiles(members: AgentInput['members']): readonly RenderedFile[] {
  const [first, ...others] = members
  if (others.length === 0) {
    return [plainFile('/conf/pg_service.conf', renderTemplate('agent/pg_service.conf', { host: nameOf(first), port: port(first.ports.postgres) }))]
  }
  return [
    plainFile('/conf/pg_service.conf', renderTemplate('agent/pg_service-cluster.conf', {
      hosts: joined(members.map(nameOf)),
      ports: joined(members.map(({ ports }) => port(ports.postgres))),
    })),
    plainFile('/conf/members.conf', renderTemplate('agent/members.conf', {
      members: lines(members.map((member) => encoded`${nameOf(member)} ${port(member.ports.backup)}`)),
    })),
  ]
}

function nameOf({ id }: AgentMember): Encoded {
  return address(internalName.member(id))
}

function joined(parts: readonly Encoded[]): Encoded {
  return new Encoded(parts.map(({ text }) => text).join(','))
}
