/**
 * A cluster's dynamic configuration as it should be: what Patroni keeps in etcd for all members. Pure. One template says what each
 * value is and why; a new cluster begins with its text, a running one is compared with what the text means.
 */
import { parse } from 'yaml'
import { z } from 'zod'
import type { Durability } from '../domain/desired.ts'
import { Encoded, integer, yamlString } from './encode.ts'
import { postgresSettings, type MemberSizes } from './postgresSettings.ts'
import { renderTemplate } from './template.ts'

export interface ConfigurationInput {
  readonly durability: Durability
  readonly sizes: MemberSizes
}

const configurationSchema = z.record(z.string(), z.json())
/** Both replicas, or any one of them: never a quorum of two, which a dead former leader would be a part of. */
const synchronousNodes = { strict: 2, quorum: 1 } as const satisfies Record<Durability, number>
const synchronousMode = { strict: 'true', quorum: 'quorum' } as const satisfies Record<Durability, string>

export function configurationText({ durability, sizes }: ConfigurationInput): string {
  const settings = postgresSettings(sizes)
  const count = (name: string): Encoded => integer(Number(settings[name]))
  return renderTemplate('cluster/configuration.yml', {
    mode: new Encoded(synchronousMode[durability]),
    syncNodes: integer(synchronousNodes[durability]),
    maxConnections: count('max_connections'),
    maxWorkerProcesses: count('max_worker_processes'),
    walKeepSize: yamlString(settings['wal_keep_size'] ?? ''),
  })
}

export function clusterConfiguration(input: ConfigurationInput): Readonly<Record<string, unknown>> {
  return configurationSchema.parse(parse(configurationText(input)))
}
