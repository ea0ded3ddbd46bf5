/** What etcd holds of a cluster, from one range of its prefix: Patroni's own keys and the mark that we leave beside them. */
import { z } from 'zod'
import type { EtcdClient, EtcdEntry } from '../clients/etcd.ts'
import { scopeMark, scopeMarkKey, scopePrefix } from '../domain/cluster.ts'
import type { ClusterScope, Instance } from '../domain/desired.ts'
import { HoldfastError } from '../domain/errors.ts'
import type { ClusterSeen } from '../domain/observed.ts'
import type { Clock } from '../domain/ports.ts'
import type { Sighting } from '../domain/sighting.ts'
import { Answers } from './answers.ts'
import type { Gate } from './gate.ts'

export type ScopeReader = Pick<EtcdClient, 'list'>

export interface ClustersOptions {
  readonly installation: string
  readonly clock: Clock
  readonly gate: Gate
  readonly etcd: ScopeReader
}

/** Several endpoints are tried within this. */
const timeoutMs = 2_500
const syncKey = z.object({ leader: z.string().nullish(), sync_standby: z.string().nullish() })
const memberPrefix = 'members/'

export class Clusters {
  readonly #options: ClustersOptions
  readonly #answers: Answers<ClusterSeen>

  constructor(options: ClustersOptions) {
    this.#options = options
    this.#answers = new Answers(options.clock)
  }

  see({ id }: Instance, cluster: ClusterScope, freshMs: number): Promise<Sighting<ClusterSeen>> {
    const { etcd, installation, gate } = this.#options
    const ask = (): Promise<ClusterSeen> => gate.pass(() => readCluster(etcd, installation, cluster))
    // another password is another question: whether the scope is prepared for it
    return this.#answers.current({ key: id, subject: scopeMark(cluster), freshMs, ask })
  }

  forget(key: string): void {
    this.#answers.forget(key)
  }

  sweep(unusedSince: number): void {
    this.#answers.dropUnusedSince(unusedSince)
  }
}

export async function readCluster(etcd: ScopeReader, installation: string, cluster: ClusterScope): Promise<ClusterSeen> {
  const prefix = scopePrefix(installation, cluster)
  const { entries } = await etcd.list(prefix, AbortSignal.timeout(timeoutMs))
  const values = new Map(entries.map(({ key, value }: EtcdEntry) => [key.slice(prefix.length), value]))
  return {
    systemIdentifier: values.get('initialize') || null,
    leader: values.get('leader') || null,
    sync: syncOf(values.get('sync')),
    members: [...values.keys()].filter((key) => key.startsWith(memberPrefix)).map((key) => key.slice(memberPrefix.length)).sort(),
    config: parsed('config', values.get('config')),
    prepared: values.get(scopeMarkKey) === scopeMark(cluster),
    isEmpty: entries.length === 0,
  }
}

/** Emptied by Patroni rather than removed when commits wait for nobody. */
function syncOf(text: string | undefined): ClusterSeen['sync'] {
  const value = syncKey.nullable().parse(parsed('sync', text))
  const leader = value?.leader
  if (leader === undefined || leader === null || leader === '') return null
  return { leader, standbys: (value?.sync_standby ?? '').split(',').filter((name) => name !== '').sort() }
}

function parsed(key: string, text: string | undefined): unknown {
  if (text === undefined || text === '') return null
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new HoldfastError('Internal', `The key ${key} of the cluster in etcd is not JSON`, { cause })
  }
}
