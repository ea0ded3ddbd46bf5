/** What the controller does for etcd itself, beside using it: keeps its members going, gives it room, and takes snapshots. */
import { connectEtcd, type EtcdClient } from '../clients/etcd.ts'
import type { ObjectStore } from '../clients/s3.ts'
import type { Duty } from '../controller/duties.ts'
import type { Clock } from '../domain/ports.ts'
import { snapshotEtcd } from '../executor/etcdSnapshot.ts'
import { allServe, giveRoom, seeMembers } from '../executor/etcdUpkeep.ts'
import type { Store } from '../store/store.ts'
import type { Ground } from './ground.ts'

export interface EtcdDutyParts {
  readonly ground: Pick<Ground, 'etcd' | 'mendEtcd' | 's3'>
  readonly store: Pick<Store, 'etcdSnapshots'>
  readonly objectStore: Pick<ObjectStore, 'putObject' | 'getObject' | 'deletePrefix'>
  readonly clock: Clock
}

/** With one member away the loss of another stops every failover, so it is soon looked after. */
const upkeepSeconds = 10
/** A replaced member has to be admitted and to catch up. */
const upkeepTimeoutSeconds = 180
const snapshotSeconds = 3_600
const snapshotTimeoutSeconds = 300

export function etcdDuties(parts: EtcdDutyParts): readonly Duty[] {
  return [
    { name: 'etcdUpkeep', everySeconds: upkeepSeconds, timeoutSeconds: upkeepTimeoutSeconds, run: (signal) => upkeep(parts, signal) },
    { name: 'etcdSnapshot', everySeconds: snapshotSeconds, timeoutSeconds: snapshotTimeoutSeconds, run: (signal) => snapshot(parts, signal) },
  ]
}

function upkeep({ ground }: EtcdDutyParts, signal: AbortSignal): Promise<void> {
  return withEtcd(ground, async (etcd) => {
    const seen = await seeMembers(etcd, ground.etcd.endpoints, signal)
    if (!allServe(seen)) await ground.mendEtcd(signal)
    await giveRoom(etcd, seen, signal)
  })
}

function snapshot({ ground, store, objectStore, clock }: EtcdDutyParts, signal: AbortSignal): Promise<void> {
  return withEtcd(ground, (etcd) => snapshotEtcd({ etcd, objectStore, bucket: ground.s3.bucket, copies: store.etcdSnapshots }, clock.now(), signal))
}

/** A connection of its own: a defragmentation or a snapshot is nothing that others should wait behind. */
async function withEtcd(ground: Pick<Ground, 'etcd'>, work: (etcd: EtcdClient) => Promise<void>): Promise<void> {
  const etcd = connectEtcd(ground.etcd)
  try {
    await work(etcd)
  } finally {
    await etcd.close()
  }
}
