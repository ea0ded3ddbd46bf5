import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { integer } from '../../src/render/encode.ts'
import { renderTemplate } from '../../src/render/template.ts'

const templates = new URL('../../templates/', import.meta.url)

test('a placeholder without a value throws, and so does a value without a placeholder', () => {
  assert.throws(() => renderTemplate('agent/agent.conf', {}), /no value for \{\{spoolLimitBytes\}\}/)
  assert.throws(() => renderTemplate('agent/agent.conf', { spoolLimitBytes: integer(1), other: integer(2) }), /no placeholder for other/)
})

test('a value that looks like a placeholder or a replacement pattern is left alone', () => {
  const text = renderTemplate('agent/agent.conf', { spoolLimitBytes: integer(7) })
  assert.match(text, /^spoolLimitBytes 7$/m)
})

test('every template begins with a comment that names its inputs', () => {
  for (const folder of ['member', 'cluster', 'endpoint', 'agent', 'restore', 'sql']) {
    for (const name of readdirSync(new URL(`${folder}/`, templates))) {
      if (name === 'repository.conf') continue // lines inside other templates
      const text = readFileSync(new URL(`${folder}/${name}`, templates), 'utf8')
      assert.match(text, /^(?:#|;|--) Inputs: /, `${folder}/${name}`)
    }
  }
})

test('what both images carry is the same', () => {
  const read = (image: string): string => readFileSync(new URL(`images/${image}/rootfs/usr/libexec/holdfast/say`, templates), 'utf8')
  assert.equal(read('haproxy'), read('postgres'))
})
