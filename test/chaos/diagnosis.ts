/** What can be seen of a cluster that did not get well: what the controller says of it, its containers, and the ends of their logs. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { answerOf } from '../../src/client/problem.ts'
import { label } from '../../src/domain/names.ts'
import type { Stage } from '../harness/ha/fault.ts'

const execute = promisify(execFile)
const logsSince = '6m'
const mostLines = 120
/** What observers, clients and Patroni's own looking leave there all the time. */
const noise = /cannot execute INSERT|could not receive data from client|the database system is (starting up|not yet accepting)|STATEMENT: |waiting for WAL to become|establishing a new patroni heartbeat|INFO: (no action|Lock owner)|rejecting connections/

/** Never rejects. */
export async function diagnose({ site, databaseId, places }: Stage, say: (line: string) => void): Promise<void> {
  const parts: readonly (() => Promise<string>)[] = [
    async () => {
      const { status } = await answerOf(site.api.GET('/v1/databases/{id}', { params: { path: { id: databaseId } } }))
      return status.conditions.map(({ type, status: is, reason, message }) => `  ${type} ${is} ${reason}: ${message}`).join('\n')
    },
    async () => {
      const { team } = await answerOf(site.api.GET('/v1/databases/{id}', { params: { path: { id: databaseId } } }))
      const { items } = await answerOf(site.api.GET('/v1/events', { params: { query: { databaseId, teamId: team.id } } }))
      return items.slice(0, 30).map(({ at, reason, message }) => `  ${at} ${reason}: ${message}`).join('\n')
    },
    async () => (await execute('docker', ['ps', '--all', '--filter', `label=${label.database}=${databaseId}`, '--format', '  {{.Names}}: {{.Status}}'])).stdout,
    ...places.map(({ name, container }) => async () => {
      const { stdout, stderr } = await execute('docker', ['logs', '--since', logsSince, container], { maxBuffer: 64 * 1024 * 1024 })
      const lines = `${stdout}${stderr}`.split('\n').filter((line) => !noise.test(line))
      return [`  ${name}`, ...lines.slice(-mostLines)].join('\n')
    }),
  ]
  for (const part of parts) say(await part().catch((error: unknown) => `  not seen: ${String(error)}`))
}
