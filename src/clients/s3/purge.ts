/** Deletes all that lies below a prefix: objects, their versions where the bucket keeps any, unfinished uploads. */
import {
  AbortMultipartUploadCommand, DeleteObjectsCommand, GetBucketVersioningCommand, ListMultipartUploadsCommand, ListObjectsV2Command,
  ListObjectVersionsCommand, type S3Client,
} from '@aws-sdk/client-s3'
import { z } from 'zod'
import { HoldfastError } from '../../domain/errors.ts'
import type { Call } from './call.ts'

export interface Purged {
  readonly objects: number
  readonly uploads: number
}

/** The most that one DeleteObjects takes. */
const batchSize = 1000
/** Ten million objects: beyond it something writes as fast as we delete. */
const maxBatches = 10_000

interface Bucket {
  readonly client: S3Client
  readonly call: Call
  readonly name: string
  readonly signal: AbortSignal
}

interface Doomed {
  readonly Key: string
  readonly VersionId?: string
}

export async function purgePrefix(client: S3Client, call: Call, name: string, prefix: string, signal: AbortSignal): Promise<Purged> {
  // An empty or half-written prefix would take other databases' backups with it.
  if (!/^[^/].*\/$/.test(prefix)) throw new RangeError(`a prefix to delete ends in a slash: "${prefix}"`)
  const bucket = { client, call, name, signal }
  const uploads = await abortUploads(bucket, prefix)
  const next = (await keepsVersions(bucket)) ? versionsBelow : objectsBelow
  let objects = 0
  for (let batch = 0; batch < maxBatches; batch += 1) {
    const doomed = await next(bucket, prefix)
    if (doomed.length === 0) return { objects, uploads }
    await deleteAll(bucket, prefix, doomed)
    objects += doomed.length
  }
  throw new HoldfastError('Internal', `${name}/${prefix} still has objects after ${objects} were deleted`)
}

/** Always the first page: what it named is gone when it is asked for again. */
async function objectsBelow({ client, call, name, signal }: Bucket, prefix: string): Promise<Doomed[]> {
  const request = new ListObjectsV2Command({ Bucket: name, Prefix: prefix, MaxKeys: batchSize })
  const reply = await call(`list ${name}/${prefix}`, signal, (abortSignal) => client.send(request, { abortSignal }))
  return z.object({ Contents: z.array(z.object({ Key: z.string() })).default([]) }).parse(reply).Contents
}

const versionSchema = z.object({ Key: z.string(), VersionId: z.string() })
const versionsSchema = z.object({ Versions: z.array(versionSchema).default([]), DeleteMarkers: z.array(versionSchema).default([]) })

async function versionsBelow({ client, call, name, signal }: Bucket, prefix: string): Promise<Doomed[]> {
  const request = new ListObjectVersionsCommand({ Bucket: name, Prefix: prefix, MaxKeys: batchSize })
  const reply = await call(`list versions of ${name}/${prefix}`, signal, (abortSignal) => client.send(request, { abortSignal }))
  const { Versions, DeleteMarkers } = versionsSchema.parse(reply)
  return [...Versions, ...DeleteMarkers]
}

async function keepsVersions({ client, call, name, signal }: Bucket): Promise<boolean> {
  const request = new GetBucketVersioningCommand({ Bucket: name })
  const reply = await call(`ask about versions in ${name}`, signal, (abortSignal) => client.send(request, { abortSignal }))
  return reply.Status !== undefined
}

async function deleteAll({ client, call, name, signal }: Bucket, prefix: string, doomed: readonly Doomed[]): Promise<void> {
  const request = new DeleteObjectsCommand({ Bucket: name, Delete: { Objects: [...doomed], Quiet: true } })
  const reply = await call(`delete ${doomed.length} objects of ${name}/${prefix}`, signal, (abortSignal) => client.send(request, { abortSignal }))
  const [refused] = reply.Errors ?? []
  if (refused === undefined) return
  throw new HoldfastError('ObjectStoreUnavailable', `The S3 store did not delete ${reply.Errors?.length} objects of ${name}/${prefix}, the first: ${refused.Key}`, {
    facts: { key: refused.Key, reason: refused.Code },
    next: 'See that the access key may delete, and that the bucket does not lock its objects',
  })
}

const uploadsSchema = z.object({ Uploads: z.array(z.object({ Key: z.string(), UploadId: z.string() })).default([]) })

async function abortUploads({ client, call, name, signal }: Bucket, prefix: string): Promise<number> {
  let aborted = 0
  for (let page = 0; page < maxBatches; page += 1) {
    const request = new ListMultipartUploadsCommand({ Bucket: name, Prefix: prefix })
    const { Uploads } = uploadsSchema.parse(await call(`list uploads of ${name}/${prefix}`, signal, (abortSignal) => client.send(request, { abortSignal })))
    if (Uploads.length === 0) return aborted
    for (const { Key, UploadId } of Uploads) {
      await call(`abort an upload of ${name}/${Key}`, signal, (abortSignal) =>
        client.send(new AbortMultipartUploadCommand({ Bucket: name, Key, UploadId }), { abortSignal }))
    }
    aborted += Uploads.length
  }
  throw new HoldfastError('Internal', `${name}/${prefix} still has unfinished uploads after ${aborted} were aborted`)
}
