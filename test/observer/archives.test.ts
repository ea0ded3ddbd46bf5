import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newestWal, seenOf, type ObjectListing } from '../../src/observer/archives.ts'

const sha = 'a'.repeat(40)
const signal = AbortSignal.timeout(5_000)
const base = 'lineages/x/archive/main'
const wal = (history: string, file: string): string => `${base}/${history}/${file.slice(0, 16)}/${file}-${sha}.zst`
const file = (timeline: number, log: number, segment: number): string =>
  [timeline, log, segment].map((part) => part.toString(16).toUpperCase().padStart(8, '0')).join('')

interface Bucket extends ObjectListing { readonly calls: string[] }

/** A store as S3 lists it: keys in order, directories by their delimiter. */
function bucketOf(keys: Map<string, Date>): Bucket {
  const calls: string[] = []
  const below = (prefix: string): string[] => [...keys.keys()].filter((key) => key.startsWith(prefix)).sort()
  return {
    calls,
    async listPrefixes(_bucket, prefix) {
      calls.push(`prefixes ${prefix}`)
      const next = below(prefix).map((key) => key.slice(prefix.length)).filter((rest) => rest.includes('/'))
      return [...new Set(next.map((rest) => `${prefix}${rest.slice(0, rest.indexOf('/') + 1)}`))]
    },
    async *listObjects(_bucket, prefix, _signal, startAfter = '') {
      calls.push(`objects ${prefix} after ${startAfter}`)
      for (const key of below(prefix).filter((key) => key > startAfter)) yield { key, modifiedAt: keys.get(key) ?? new Date(0) }
    },
  }
}

const find = (bucket: Bucket, last: Parameters<typeof newestWal>[3] = null) => newestWal(bucket, 'b', '/lineages/x', last, signal)

test('an empty repository has no newest WAL', async () => {
  assert.deepEqual(seenOf(await find(bucketOf(new Map()))), { newestWalFile: null, newestAt: null })
})

test('the newest file is found by directories, past histories, partial files and labels, and later looks list only what is new', async () => {
  const keys = new Map<string, Date>([
    [`${base}/archive.info`, new Date(9)],
    [wal('17-1', file(1, 0, 1)), new Date(1)],
    [wal('17-1', file(1, 0, 255)), new Date(2)],
    [wal('17-1', file(1, 1, 0)), new Date(3)],
    [`${base}/17-1/00000002.history`, new Date(4)],
    [`${base}/17-1/0000000100000001/${file(1, 1, 0)}.00000028.backup`, new Date(5)],
    [`${base}/17-1/0000000200000001/${file(2, 1, 0)}.partial-${sha}.zst`, new Date(6)],
  ])
  const bucket = bucketOf(keys)
  const first = await find(bucket)
  assert.deepEqual(seenOf(first), { newestWalFile: file(1, 1, 0), newestAt: new Date(3) })
  keys.set(wal('17-1', file(2, 1, 1)), new Date(7))
  const calls = bucket.calls.length
  const second = await find(bucket, first)
  assert.equal(second?.file, file(2, 1, 1))
  assert.equal(bucket.calls.length, calls + 1)
  assert.deepEqual(await find(bucket, second), second)
})

test('a newer history of the stanza is preferred, by its number', async () => {
  const keys = new Map([9, 10].map((history) => [wal(`17-${history}`, file(1, 0, 20 - history)), new Date(history)]))
  assert.equal((await find(bucketOf(keys)))?.file, file(1, 0, 10))
})
