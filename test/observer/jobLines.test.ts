import assert from 'node:assert/strict'
import { test } from 'node:test'
import { progressIn, resultIn } from '../../src/observer/jobLines.ts'

const line = (value: unknown): string => `${JSON.stringify(value)}\n`

test('the last progress line counts, whatever is written around it', () => {
  const output = `starting\n${line({ step: 'copying', percent: 10 })}{not json}\n${line({ step: 'copying', percent: 40, bytes: 4, totalBytes: 10 })}WARN: slow\n`
  assert.deepEqual(progressIn(output), { step: 'copying', percent: 40, bytes: 4, totalBytes: 10 })
  assert.equal(progressIn('nothing of ours\n'), null)
})

test('a result line is the result, whatever the exit code', () => {
  assert.deepEqual(resultIn(line({ step: 'x' }) + line({ ok: true, facts: { label: '20261121-215300F' } }), 0), { ok: true, facts: { label: '20261121-215300F' } })
  assert.deepEqual(resultIn(line({ ok: false, code: 'RepositoryUnreachable', message: 'no route' }), 0), { ok: false, code: 'RepositoryUnreachable', message: 'no route' })
})

test('a job that ended without a result has failed, and its last words are shown without what cannot be printed', () => {
  const result = resultIn('ERROR: [095]: bad \u0000\u001b[31m bytes \ufffd here\n\n', 95)
  assert.deepEqual(result, { ok: false, code: 'JobFailed', message: 'the job ended with exit code 95 and without a result; its last words: ERROR: [095]: bad [31m bytes here' })
  assert.deepEqual(resultIn('', 137), { ok: false, code: 'JobFailed', message: 'the job ended with exit code 137 and without a result' })
})
