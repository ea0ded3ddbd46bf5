/**
 * A cluster's dynamic configuration as it should be: what Patroni keeps in etcd for all members. Pure. One template says what each
 * value is and why; a new cluster begins with its text, a running one is compared with what the text means.
 */
import { parse } from 'yaml'
import { z } from 'zod'
import type { Durability } from '../domain/desired.ts'
import { followerSlotName } from '../domain/prepared.ts'
import { address, Encoded, encoded, identifier, integer, lines, port, yamlString } from './encode.ts'
import { postgresSettings, type MemberSizes } from './postgresSettings.ts'
import { renderPart, renderTemplate } from './template.ts'

export interface ConfigurationInput {
  readonly durability: Durability
  readonly sizes: MemberSizes
  /** Where the instance is that it follows; null: it leads. */
  readonly follows: { readonly address: string; readonly port: number } | null
  /** Whether another instance follows it, or will. */
  readonly isFollowed: boolean
}

const configurationSchema = z.record(z.string(), z.json())
/** Both replicas, or any one of them: never a quorum of two, which a dead former leader would be a part of. */
const synchronousNodes = { strict: 2, quorum: 1 } as const satisfies Record<Durability, number>
const synchronousMode = { strict: 'true', quorum: 'quorum' } as const satisfies Record<Durability, string>

export function configurationText({ durability, sizes, follows, isFollowed }: ConfigurationInput): string {
  const settings = postgresSettings(sizes)
  const count = (name: string): Encoded => integer(Number(settings[name]))
  return renderTemplate('cluster/configuration.yml', {
    mode: new Encoded(synchronousMode[durability]),
    syncNodes: integer(synchronousNodes[durability]),
    follower: lines(isFollowed ? [encoded`  ${identifier(followerSlotName)}:`, encoded`    type: physical`] : []),
    standby: follows === null ? lines([]) : renderPart('cluster/standby.yml', { host: address(follows.address), port: port(follows.port), slot: identifier(followerSlotName) }),
    maxConnections: count('max_connections'),
    maxWorkerProcesses: count('max_worker_processes'),
    walKeepSize: yamlString(settings['wal_keep_size'] ?? ''),
  })
}

export function clusterConfiguration(input: ConfigurationInput): Readonly<Record<string, unknown>> {
  return configurationSchema.parse(parse(configurationText(input)))
}
