import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { test, type TestContext } from 'node:test'
import { extract } from 'tar-stream'
import { followOutput } from '../../src/bootstrap/imageBuild.ts'
import { contextOf, readImageInputs, revisionOf } from '../../src/bootstrap/imageInputs.ts'
import { imageNames, inParallel } from '../../src/bootstrap/images.ts'

async function templates(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'hf-images-'))
  t.after(() => rm(directory, { recursive: true }))
  await mkdir(join(directory, 'x/rootfs/bin'), { recursive: true })
  await writeFile(join(directory, 'x.Dockerfile'), 'FROM base\n')
  await writeFile(join(directory, 'x/rootfs/bin/run'), '#!/bin/sh\n', { mode: 0o755 })
  await writeFile(join(directory, 'x/rootfs/plain'), 'text', { mode: 0o600 })
  return directory
}

test('a revision changes with the base, a file’s content, name or mode, and with nothing else', async (t) => {
  const directory = await templates(t)
  const revision = async (base = 'sha256:1'): Promise<string> => revisionOf(await readImageInputs('x', directory), base)
  const first = await revision()
  assert.match(first, /^[0-9a-f]{12}$/)
  assert.equal(await revision(), first)
  const seen = new Set([first, await revision('sha256:2')])
  await writeFile(join(directory, 'x/rootfs/plain'), 'texts')
  seen.add(await revision())
  await chmod(join(directory, 'x/rootfs/plain'), 0o700)
  seen.add(await revision())
  await writeFile(join(directory, 'x/rootfs/more'), '')
  seen.add(await revision())
  await writeFile(join(directory, 'x.Dockerfile'), 'FROM other\n')
  seen.add(await revision())
  assert.equal(seen.size, 6)
})

test('a build’s context has the Dockerfile and the files with modes that a checkout cannot change', async (t) => {
  const seen: Record<string, string> = {}
  const reader = extract()
  reader.on('entry', (header, stream, next) => {
    seen[header.name] = `${header.mode?.toString(8)} ${header.uid} ${header.mtime?.getTime()}`
    stream.resume()
    stream.on('end', next)
  })
  await pipeline(Readable.from([await contextOf(await readImageInputs('x', await templates(t)))]), reader)
  assert.deepEqual(seen, {
    Dockerfile: '644 0 0', rootfs: '755 0 0', 'rootfs/bin': '755 0 0', 'rootfs/bin/run': '755 0 0', 'rootfs/plain': '644 0 0',
  })
})

test('every image has its template', async () => {
  for (const name of imageNames) assert.match((await readImageInputs(name)).dockerfile.toString(), /^FROM debian:trixie-slim$/m, name)
})

test('output is followed to its end, steps are told, and an error carries the lines before it', async () => {
  const said: string[] = []
  const fine = Readable.from(['{"stream":"Step 1/2 : FROM x\\n"}\n{"stream":"done"}\n', 'not json\n'])
  await followOutput(fine, AbortSignal.timeout(5_000), (detail) => said.push(detail))
  assert.deepEqual(said, ['Step 1/2 : FROM x'])
  const failing = Readable.from(['{"stream":"E: no mirror"}\n{"errorDetail":{},"error":"returned a non-zero code: 100"}\n'])
  await assert.rejects(followOutput(failing, AbortSignal.timeout(5_000), () => undefined), /E: no mirror\nreturned a non-zero code: 100/)
})

test('output that never ends is left when the signal says so', async () => {
  await assert.rejects(followOutput(new PassThrough(), AbortSignal.timeout(50), () => undefined))
})

test('work runs at most so many at a time, and nothing new begins after a failure', async () => {
  let running = 0
  let most = 0
  const done: number[] = []
  const work = async (item: number): Promise<void> => {
    running += 1
    most = Math.max(most, running)
    await new Promise((resolve) => setImmediate(resolve))
    running -= 1
    if (item === 3) throw new Error('third')
    done.push(item)
  }
  await assert.rejects(inParallel([1, 2, 3, 4, 5, 6, 7], 2, work), /third/)
  assert.equal(most, 2)
  assert.ok(!done.includes(7), done.join())
})
