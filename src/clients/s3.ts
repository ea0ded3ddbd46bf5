/**
 * One S3 store: typed in, parsed out, a deadline and an abort signal on every call. It decides nothing.
 * Made for what we keep there (backups of a few kinds, small objects read back); large uploads are pgBackRest's business.
 */
import {
  CreateBucketCommand, GetObjectCommand, HeadBucketCommand, HeadObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client,
} from '@aws-sdk/client-s3'
import { Readable } from 'node:stream'
import { z } from 'zod'
import { HoldfastError } from '../domain/errors.ts'
import type { Secret } from '../domain/secret.ts'
import { caller, refusalOf, type Call } from './s3/call.ts'
import { connectionFor } from './s3/connection.ts'
import { purgePrefix, type Purged } from './s3/purge.ts'

export type { Purged } from './s3/purge.ts'

export interface S3Connection {
  /** `https://host[:port]`. */
  readonly endpoint: string
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: Secret
  readonly forcePathStyle: boolean
  /** The authority that signed the store's certificate; without it the public ones. Read at each connection: it may be renewed. */
  readonly caPem?: string
  /** Connect there instead of asking DNS for the endpoint's host: its certificate carries an internal name. */
  readonly address?: string
}

export interface ObjectFacts {
  readonly key: string
  readonly sizeBytes: number
  readonly modifiedAt: Date
  readonly etag: string
}

export interface ObjectStore {
  readonly endpoint: string
  /** Creates the bucket unless it is there already and ours. Errors: `ResourceConflict` when it is somebody else's. */
  ensureBucket(bucket: string, signal: AbortSignal): Promise<'created' | 'present'>
  /** In the order of their keys, those after `startAfter` only, a page at a time: a caller that stops early asks for no more pages. */
  listObjects(bucket: string, prefix: string, signal: AbortSignal, startAfter?: string): AsyncGenerator<ObjectFacts, void, undefined>
  /** "Directories" directly below `prefix`, whole, with their final slash, in order. */
  listPrefixes(bucket: string, prefix: string, signal: AbortSignal): Promise<readonly string[]>
  /** Null when there is no such object. */
  headObject(bucket: string, key: string, signal: AbortSignal): Promise<ObjectFacts | null>
  /** Null when there is no such object. Errors: `PayloadTooLarge` beyond `maxBytes`. */
  getObject(bucket: string, key: string, maxBytes: number, signal: AbortSignal): Promise<Buffer | null>
  putObject(bucket: string, key: string, content: Buffer | string, signal: AbortSignal): Promise<void>
  /** Deletes every object, every version and every unfinished upload below `prefix`, which has to end in a slash. */
  deletePrefix(bucket: string, prefix: string, signal: AbortSignal): Promise<Purged>
  /** Closes idle connections; nothing may be called afterwards. */
  close(): void
}

/** A store that is slow to list or delete a thousand objects took 14 s; one that needs more is not usable. */
const callTimeoutMs = 30_000
const pageSize = 1000

/** Opens nothing yet; each call connects as it needs. */
export function connectObjectStore(connection: S3Connection): ObjectStore {
  const client = new S3Client(connectionFor(connection))
  const call = caller(connection.endpoint, callTimeoutMs)
  return {
    endpoint: connection.endpoint,
    ensureBucket: (bucket, signal) => ensureBucket(client, call, bucket, signal),
    listObjects: (bucket, prefix, signal, startAfter) => listObjects(client, call, { bucket, prefix, startAfter }, signal),
    listPrefixes: (bucket, prefix, signal) => listPrefixes(client, call, bucket, prefix, signal),
    headObject: (bucket, key, signal) => headObject(client, call, bucket, key, signal),
    getObject: (bucket, key, maxBytes, signal) => getObject(client, call, bucket, key, maxBytes, signal),
    putObject: async (bucket, key, content, signal) => {
      await call(`put ${bucket}/${key}`, signal, (abortSignal) =>
        client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: content }), { abortSignal }))
    },
    deletePrefix: (bucket, prefix, signal) => purgePrefix(client, call, bucket, prefix, signal),
    close: () => client.destroy(),
  }
}

async function ensureBucket(client: S3Client, call: Call, bucket: string, signal: AbortSignal): Promise<'created' | 'present'> {
  const present = await absentAsNull(() =>
    call(`look for bucket ${bucket}`, signal, (abortSignal) => client.send(new HeadBucketCommand({ Bucket: bucket }), { abortSignal })))
  if (present !== null) return 'present'
  try {
    await call(`create bucket ${bucket}`, signal, (abortSignal) => client.send(new CreateBucketCommand({ Bucket: bucket }), { abortSignal }))
    return 'created'
  } catch (error) {
    const name = refusalOf(error)?.name
    if (name === 'BucketAlreadyOwnedByYou') return 'present'
    if (name !== 'BucketAlreadyExists') throw error
    throw new HoldfastError('ResourceConflict', `The bucket ${bucket} belongs to somebody else`, {
      cause: error, next: 'Choose another bucket in the settings', facts: { bucket },
    })
  }
}

const listedSchema = z
  .object({ Key: z.string(), Size: z.number(), LastModified: z.date(), ETag: z.string().default('') })
  .transform((seen): ObjectFacts => ({ key: seen.Key, sizeBytes: seen.Size, modifiedAt: seen.LastModified, etag: bareEtag(seen.ETag) }))

const pageSchema = z.object({ Contents: z.array(listedSchema).default([]), NextContinuationToken: z.string().optional() })

interface Listing {
  readonly bucket: string
  readonly prefix: string
  readonly startAfter: string | undefined
}

async function* listObjects(client: S3Client, call: Call, { bucket, prefix, startAfter }: Listing, signal: AbortSignal): AsyncGenerator<ObjectFacts, void, undefined> {
  let token: string | undefined
  do {
    const request = new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, MaxKeys: pageSize, StartAfter: startAfter, ContinuationToken: token })
    const page = pageSchema.parse(await call(`list ${bucket}/${prefix}`, signal, (abortSignal) => client.send(request, { abortSignal })))
    yield* page.Contents
    token = page.NextContinuationToken
  } while (token !== undefined)
}

const prefixesSchema = z.object({
  CommonPrefixes: z.array(z.object({ Prefix: z.string() })).default([]), NextContinuationToken: z.string().optional(),
})

async function listPrefixes(client: S3Client, call: Call, bucket: string, prefix: string, signal: AbortSignal): Promise<readonly string[]> {
  const found: string[] = []
  let token: string | undefined
  do {
    const request = new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, Delimiter: '/', ContinuationToken: token })
    const page = prefixesSchema.parse(await call(`list ${bucket}/${prefix}`, signal, (abortSignal) => client.send(request, { abortSignal })))
    found.push(...page.CommonPrefixes.map(({ Prefix }) => Prefix))
    token = page.NextContinuationToken
  } while (token !== undefined)
  return found
}

const headSchema = z.object({ ContentLength: z.number(), LastModified: z.date(), ETag: z.string().default('') })

async function headObject(client: S3Client, call: Call, bucket: string, key: string, signal: AbortSignal): Promise<ObjectFacts | null> {
  const reply = await absentAsNull(() =>
    call(`look at ${bucket}/${key}`, signal, (abortSignal) => client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }), { abortSignal })))
  if (reply === null) return null
  const head = headSchema.parse(reply)
  return { key, sizeBytes: head.ContentLength, modifiedAt: head.LastModified, etag: bareEtag(head.ETag) }
}

async function getObject(
  client: S3Client, call: Call, bucket: string, key: string, maxBytes: number, signal: AbortSignal,
): Promise<Buffer | null> {
  return absentAsNull(() => call(`get ${bucket}/${key}`, signal, async (abortSignal) => {
    const reply = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }), { abortSignal })
    if ((reply.ContentLength ?? 0) > maxBytes) {
      // An unread body would hold its connection for good.
      if (reply.Body instanceof Readable) reply.Body.destroy()
      throw new HoldfastError('PayloadTooLarge', `The object ${bucket}/${key} has ${reply.ContentLength} bytes, more than the ${maxBytes} expected`)
    }
    return Buffer.from((await reply.Body?.transformToByteArray()) ?? [])
  }))
}

async function absentAsNull<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask()
  } catch (error) {
    if (refusalOf(error)?.status === 404) return null
    throw error
  }
}

function bareEtag(etag: string): string {
  return etag.replaceAll('"', '')
}
