/** The standalone's side of a cutover: its fence, its end, and its coming back. Each answers from inside its container. */
import { z } from 'zod'
import { HoldfastError } from '../../domain/errors.ts'
import { parseLsn, type Lsn } from '../../domain/lsn.ts'
import { followerSlotName } from '../../domain/prepared.ts'
import type { Places } from './places.ts'

const libexec = '/usr/libexec/holdfast'
const execMs = 10_000
/** Beyond the budget of any cutover; after that it goes on by itself. */
const stopSeconds = 20
const stoppedSchema = z.object({ holdfast: z.literal('left'), lsn: z.string() })

/**
 * It is on the disk when this returns. `conninfo`: of whom it may follow from its next start on; null: it may serve. `revision`: of the decision
 * that it follows from; a call that comes after a newer one is refused.
 */
export async function setFence({ engine, container }: Places, conninfo: string | null, revision: number, signal: AbortSignal): Promise<void> {
  const mode = conninfo === null ? 'none' : 'standby'
  const argv = [`${libexec}/set-fence`, mode, String(revision), ...(conninfo === null ? [] : [conninfo, followerSlotName])]
  const { exitCode, stdout, stderr } = await engine.exec(container, argv, { timeoutMs: execMs }, signal)
  if (exitCode === 0 && stdout.trim() === mode) return
  throw new HoldfastError('Conflict', `The fence of ${container} was not set (${exitCode}): ${stdout.trim()} ${stderr.trim()}`.slice(0, 300))
}

/** Where its WAL ends: the beginning of its shutdown checkpoint, from its control file. Errors: `Conflict` when it did not stop; it goes on then. */
export async function stopServer({ engine, container }: Places, signal: AbortSignal): Promise<Lsn> {
  const argv = [`${libexec}/stop-server`, String(stopSeconds)]
  const { exitCode, stdout, stderr } = await engine.exec(container, argv, { timeoutMs: stopSeconds * 1_000 + execMs }, signal)
  const line = stdout.trim().split('\n').at(-1) ?? ''
  if (exitCode !== 0) throw new HoldfastError('Conflict', `PostgreSQL in ${container} did not stop (${exitCode}): ${line} ${stderr.trim()}`.slice(0, 300))
  return parseLsn(stoppedSchema.parse(JSON.parse(line)).lsn)
}

/** As far as its fence lets it. */
export async function startServer({ engine, container }: Pick<Places, 'engine' | 'container'>, signal: AbortSignal): Promise<void> {
  const { exitCode, stderr } = await engine.exec(container, [`${libexec}/start-server`], { timeoutMs: execMs }, signal)
  if (exitCode !== 0) throw new HoldfastError('Conflict', `PostgreSQL in ${container} was not started (${exitCode}): ${stderr.trim()}`.slice(0, 300))
}
