/** What etcd holds of one cluster's scope, as evidence. Reads through the majority; knows Patroni's keys and how it writes them. */
import { z } from 'zod'
import type { EtcdEntry, EtcdKeys } from '../clients/etcd.ts'
import { describeError } from '../domain/errors.ts'
import { pausedForKey } from '../domain/cluster.ts'
import { jsonOrNull } from '../domain/json.ts'
import type { KeysEvidence, KnownKeys } from './evidence.ts'
import { leaderKey, syncKey } from './transaction.ts'

/** For both questions together; etcd answers in milliseconds, and within an election (0.5 s) while its leader changes. */
const readTimeoutMs = 1_500

export type KeyStore = Pick<EtcdKeys, 'list' | 'txn' | 'leaseTimeToLive'>

/** What was read, without its age. Errors: those of etcd. */
export async function readKeys(store: KeyStore, prefix: string, { withLease }: { readonly withLease: boolean }, signal: AbortSignal): Promise<Omit<KnownKeys, 'agoMs'>> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(readTimeoutMs)])
  const { entries } = await store.list(prefix, limit)
  const of = (key: string): EtcdEntry | undefined => entries.find((entry) => entry.key === key)
  const leader = of(leaderKey(prefix))
  const lease = withLease && leader?.lease != null ? await store.leaseTimeToLive(leader.lease, limit) : null
  return {
    known: true,
    leader: leader === undefined ? null : {
      name: leader.value, modRevision: leader.modRevision,
      leaseSeconds: lease?.ttlSeconds ?? null, grantedSeconds: lease?.grantedSeconds ?? null,
    },
    sync: syncOf(of(syncKey(prefix))),
    ...configOf(of(`${prefix}config`)),
  }
}

export function unknownKeys(error: unknown, forMs: number): KeysEvidence {
  return { known: false, reason: describeError(error), forMs }
}

const syncSchema = z.object({ leader: z.string().nullish(), sync_standby: z.string().nullish() })

/** What Patroni cannot read it takes for empty (`SyncState.from_node`), and so do we: then nobody may win. */
function syncOf(entry: EtcdEntry | undefined): KnownKeys['sync'] {
  if (entry === undefined) return null
  const { value, modRevision } = entry
  const parsed = syncSchema.safeParse(jsonOrNull(value))
  if (!parsed.success) return { value, modRevision, leader: null, standbys: [] }
  const names = (parsed.data.sync_standby ?? '').split(',').map((name) => name.trim()).filter((name) => name !== '')
  return { value, modRevision, leader: parsed.data.leader ?? null, standbys: names }
}

const configSchema = z.object({
  synchronous_mode: z.union([z.boolean(), z.string()]).optional(),
  synchronous_mode_strict: z.boolean().optional(),
  pause: z.boolean().optional(),
  standby_cluster: z.unknown().optional(),
  [pausedForKey]: z.string().nullish(),
})

function configOf(entry: EtcdEntry | undefined): Pick<KnownKeys, 'mode' | 'paused' | 'moving'> {
  const parsed = configSchema.safeParse(jsonOrNull(entry?.value ?? ''))
  if (!parsed.success) return { mode: 'other', paused: false, moving: false }
  const { synchronous_mode: mode, synchronous_mode_strict: strict, pause, standby_cluster: follows } = parsed.data
  const isStrict = strict === true
  // one that follows another instance is led by nobody's death
  const paused = pause === true || follows != null
  const moving = pause === true && parsed.data[pausedForKey] != null
  if (isStrict && mode === true) return { mode: 'strict', paused, moving }
  if (isStrict && mode === 'quorum') return { mode: 'quorum', paused, moving }
  return { mode: 'other', paused, moving }
}
