import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Lsn } from '../../src/domain/lsn.ts'
import { fillingBytes, type WalPlace } from '../../src/clients/postgres/walSegment.ts'

const mib = 1024 * 1024
const segmentBytes = 16 * mib
const place = (at: number): WalPlace => ({ lsn: BigInt(at) as Lsn, segmentBytes, restBytes: segmentBytes - (at % segmentBytes) })

test('a file is filled but for a little, so that little is sent at the end', () => {
  assert.equal(fillingBytes(place(3 * mib), place(3 * mib), 1_000, 400), 13 * mib - 256 * 1024)
})

test('what will be written meanwhile still fits', () => {
  // 2 MiB in a second: 0.8 MiB in 400 ms
  assert.equal(fillingBytes(place(2 * mib), place(4 * mib), 1_000, 400), Math.floor(12 * mib - 256 * 1024 - (2 * mib * 400) / 1_000))
})

test('one that would be full too soon is left, and the next one is filled', () => {
  const now = place(16 * mib - 100)
  assert.equal(fillingBytes(now, now, 1_000, 400), 100 + 16 * mib - 256 * 1024)
})

test('however much is written, half of a file is filled', () => {
  assert.equal(fillingBytes(place(0), place(8 * 16 * mib), 1_000, 400), 8 * mib)
})
