/** `holdfast keys`: brings every stored secret to the newest master key, and says which keys are still needed. */
import { loadConfig } from '../config.ts'
import { attachStore } from '../main/openStore.ts'
import type { KeysOptions } from './localCommand.ts'

const timeoutMs = 10 * 60_000

export async function run({ json, action }: KeysOptions): Promise<number> {
  const { pool, store } = await attachStore(loadConfig(), AbortSignal.timeout(timeoutMs))
  try {
    const resealed = action === 'reseal' ? (await store.keys.reseal()).resealed : 0
    const inUse = await store.keys.inUse()
    if (json) process.stdout.write(`${JSON.stringify({ schema: 'holdfast.keys/1', ok: true, resealed, inUse })}\n`)
    else process.stdout.write(`${action === 'reseal' ? `${resealed} secrets sealed anew.\n` : ''}${describe(inUse)}`)
    return 0
  } finally {
    await pool.end()
  }
}

function describe(inUse: Readonly<Record<string, number>>): string {
  const lines = Object.entries(inUse).map(([key, count]) => `${key}  opens ${count} secrets\n`)
  return `${lines.join('')}A key that is not listed may be taken out of the settings.\n`
}
