/** Snapshots of etcd: taken whole, and checked against the digest that etcd ends them with. `etcdutl snapshot restore` takes them as they are. */
import { createHash } from 'node:crypto'
import type { EtcdClient } from '../clients/etcd.ts'
import { HoldfastError } from '../domain/errors.ts'
import { copyKey, keepCopy, type CopyTools } from './keptCopy.ts'

export interface EtcdSnapshotOptions extends CopyTools {
  readonly etcd: Pick<EtcdClient, 'cluster'>
}

/** Hundreds of clusters keep a few megabytes; it is held in memory whole. */
const maxBytes = 512 * 1024 * 1024
const digestBytes = 32

/** Errors: `ReadBackFailed`, `PayloadTooLarge`. */
export async function snapshotEtcd(options: EtcdSnapshotOptions, now: Date, signal: AbortSignal): Promise<void> {
  const taken = await collected(await options.etcd.cluster.snapshot(signal))
  if (!isWhole(taken)) throw new HoldfastError('ReadBackFailed', 'The snapshot that etcd sent does not have the digest that it ends with', { next: 'The next hour tries again' })
  await keepCopy(options, 'The snapshot of etcd', copyKey('etcd', now, 'snapshot.db'), taken, signal)
}

/** Whether it ends with the digest of what stands before it. */
export function isWhole(snapshot: Buffer): boolean {
  if (snapshot.length <= digestBytes) return false
  const store = snapshot.subarray(0, -digestBytes)
  return createHash('sha256').update(store).digest().equals(snapshot.subarray(-digestBytes))
}

async function collected(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream) {
    if (!Buffer.isBuffer(chunk)) throw new TypeError('a snapshot is bytes')
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > maxBytes) throw new HoldfastError('PayloadTooLarge', `etcd holds more than the ${maxBytes} bytes that a snapshot may have`)
  }
  return Buffer.concat(chunks)
}
