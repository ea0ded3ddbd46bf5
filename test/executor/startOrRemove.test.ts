/** A container that its engine will never start again must not be asked to for ever. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HoldfastError } from '../../src/domain/errors.ts'
import { startOrRemove } from '../../src/executor/containers.ts'

const signal = AbortSignal.timeout(10_000)

async function outcome(refusal: HoldfastError | null): Promise<readonly unknown[]> {
  const calls: unknown[] = []
  const engine = {
    startContainer: async (id: string) => {
      calls.push(`start ${id}`)
      if (refusal !== null) throw refusal
    },
    removeContainer: async (id: string, { force }: { readonly force: boolean }) => void calls.push(`remove ${id}${force ? ' by force' : ''}`),
  }
  return startOrRemove(engine, 'a', signal).then(() => calls, (error: unknown) => [...calls, error])
}

test('one that starts is left as it is', async () => {
  assert.deepEqual(await outcome(null), ['start a'])
})

test('one that its engine can never start is removed, never by force', async () => {
  assert.deepEqual(await outcome(new HoldfastError('Internal', 'already exists', { facts: { cannotEverStart: true } })), ['start a', 'remove a'])
})

test('one that cannot start now stays, and the reason is told', async () => {
  const taken = new HoldfastError('ResourceConflict', 'a port is taken')
  assert.deepEqual(await outcome(taken), ['start a', taken])
})
