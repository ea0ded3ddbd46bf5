/** What can be seen of a cluster that did not get well: what the controller says of it, its containers, and the ends of their logs. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { answerOf } from '../../src/client/problem.ts'
import { label } from '../../src/domain/names.ts'
import type { Stage } from '../harness/ha/fault.ts'

const execute = promisify(execFile)
const logLines = '60'

/** Never rejects. */
export async function diagnose({ site, databaseId, places }: Stage, say: (line: string) => void): Promise<void> {
  const parts: readonly (() => Promise<string>)[] = [
    async () => {
      const { status } = await answerOf(site.api.GET('/v1/databases/{id}', { params: { path: { id: databaseId } } }))
      return status.conditions.map(({ type, status: is, reason, message }) => `  ${type} ${is} ${reason}: ${message}`).join('\n')
    },
    async () => {
      const { items } = await answerOf(site.api.GET('/v1/events', { params: { query: { databaseId } } }))
      return items.slice(0, 30).map(({ at, reason, message }) => `  ${at} ${reason}: ${message}`).join('\n')
    },
    async () => (await execute('docker', ['ps', '--all', '--filter', `label=${label.database}=${databaseId}`, '--format', '  {{.Names}}: {{.Status}}'])).stdout,
    ...places.map(({ name, container }) => async () => {
      const { stdout, stderr } = await execute('docker', ['logs', '--timestamps', '--tail', logLines, container])
      return `  ${name}\n${stdout}${stderr}`
    }),
  ]
  for (const part of parts) say(await part().catch((error: unknown) => `  not seen: ${String(error)}`))
}
