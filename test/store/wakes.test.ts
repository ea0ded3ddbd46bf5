import { after, test } from 'node:test'
import { createPool } from '../../src/store/pool.ts'
import { listenForWakes } from '../../src/store/wakes.ts'
import { startProxy } from './proxy.ts'
import { startRig } from './rig.ts'

const rig = await startRig({ after })

/** What was heard, and a wait for the next of it. */
function listener(): { onWake: (id: string | null) => void; next: (wanted: string | null) => Promise<void> } {
  const heard: (string | null)[] = []
  let look = (): void => undefined
  return {
    onWake(id) {
      heard.push(id)
      look()
    },
    next: (wanted) =>
      new Promise((resolve, reject) => {
        const limit = setTimeout(() => reject(new Error(`not heard: ${String(wanted)}`)), 10_000)
        look = () => {
          const place = heard.indexOf(wanted)
          if (place < 0) return
          heard.splice(0, place + 1)
          // what comes next is for the next wait
          look = () => undefined
          clearTimeout(limit)
          resolve()
        }
        look()
      }),
  }
}

test('a wake is heard when it is committed, a new database too, and the end leaves no connection', async (t) => {
  const stop = new AbortController()
  const { onWake, next } = listener()
  const listening = listenForWakes(rig.pool, onWake, stop.signal)
  t.after(() => stop.abort())
  await next(null)
  const { id } = await rig.create('heard')
  await next(id)
  await rig.store.queue.wake(id)
  await next(id)
  stop.abort()
  await listening
})

test('after the connection was lost it is made again, and the listener is told to look', async (t) => {
  const proxy = await startProxy(t, rig.database.url)
  const pool = createPool({ url: proxy.url, applicationName: 'listening', maxConnections: 1 })
  const stop = new AbortController()
  const { onWake, next } = listener()
  const listening = listenForWakes(pool, onWake, stop.signal)
  await next(null)
  proxy.set('refusing')
  const { id } = await rig.create('missed')
  proxy.set('open')
  await next(null)
  await rig.store.queue.wake(id)
  await next(id)
  stop.abort()
  await listening
  await pool.end()
})
