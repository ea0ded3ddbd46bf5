/**
 * Snapshots of etcd: taken whole, checked against the digest that etcd ends them with, put into the store, read back and
 * compared; a few are kept. `etcdutl snapshot restore` takes them as they are.
 */
import { createHash } from 'node:crypto'
import type { EtcdClient } from '../clients/etcd.ts'
import type { ObjectStore } from '../clients/s3.ts'
import { HoldfastError } from '../domain/errors.ts'

export interface EtcdSnapshotOptions {
  readonly etcd: Pick<EtcdClient, 'cluster'>
  readonly objectStore: Pick<ObjectStore, 'putObject' | 'getObject' | 'deletePrefix'>
  readonly bucket: string
  readonly snapshots: EtcdSnapshots
}

export interface EtcdSnapshots {
  add(snapshot: { readonly objectKey: string; readonly bytes: number; readonly verified: boolean }): Promise<unknown>
  /** Newest first. */
  list(): Promise<readonly { readonly id: string; readonly objectKey: string }[]>
  remove(id: string): Promise<void>
}

/** A day of hourly ones. */
const kept = 24
/** Hundreds of clusters keep a few megabytes; it is held in memory whole. */
const maxBytes = 512 * 1024 * 1024
const digestBytes = 32

export async function snapshotEtcd({ etcd, objectStore, bucket, snapshots }: EtcdSnapshotOptions, now: Date, signal: AbortSignal): Promise<void> {
  const prefix = `etcd/${now.toISOString().replaceAll(/[:.]/g, '-')}/`
  const objectKey = `${prefix}snapshot.db`
  const taken = await collected(await etcd.cluster.snapshot(signal))
  if (!isWhole(taken)) throw new HoldfastError('ReadBackFailed', 'The snapshot that etcd sent does not have the digest that it ends with', { next: 'The next hour tries again' })
  await objectStore.putObject(bucket, objectKey, taken, signal)
  const back = await objectStore.getObject(bucket, objectKey, maxBytes, signal)
  if (back === null || !back.equals(taken)) {
    throw new HoldfastError('ReadBackFailed', `The snapshot of etcd ${objectKey} does not read back as it was written`, { next: 'Look at the object store; the next hour tries again' })
  }
  await snapshots.add({ objectKey, bytes: back.length, verified: true })
  for (const old of (await snapshots.list()).slice(kept)) {
    await objectStore.deletePrefix(bucket, old.objectKey.slice(0, old.objectKey.lastIndexOf('/') + 1), signal)
    await snapshots.remove(old.id)
  }
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
